//! The answer to a request: served here, redirected to another node, or refused.
//!
//! ```text
//!   slot ─▶ has an owner? ─▶ cluster up? ─▶ open here (migrating, importing)? ─▶ readable here? ─▶ ours? ─▶ MOVED
//!            CLUSTERDOWN      CLUSTERDOWN     ASK, TRYAGAIN, here                  here             here
//! ```
//!
//! The request is described by [`Want`]; its slot was found before, and keys of several slots were refused (CROSSSLOT).
//!
//! Mirrors: `getNodeByQuery` (cluster.c).
//! Differs: a pure function of the machine and a [`Want`]; it looks at keys only where a slot is open.

use super::machine::Machine;
use super::node::NodeKey;

/// The keys of a request that are missing here, found by a look that expires no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// All are here, or the request names shard channels only.
    None,
    /// Some are not here.
    Some,
    /// Not one is here.
    All,
}

/// A request with keys.
#[derive(Clone, Copy, Debug)]
pub struct Want {
    /// The slot of all its keys.
    pub slot: u16,
    /// Whether it names more than one different key.
    pub several_keys: bool,
    /// Whether it writes, or for EXEC whether any queued command does.
    pub write: bool,
    /// Whether it names shard channels instead of keys.
    pub channels: bool,
    /// Whether it is MIGRATE.
    pub migrate: bool,
    /// The client sent ASKING, or the command implies it.
    pub asking: bool,
    /// The client said READONLY.
    pub readonly: bool,
}

/// Options that decide while the cluster is down.
#[derive(Clone, Copy, Debug)]
pub struct WhenDown {
    /// `cluster-allow-reads-when-down`.
    pub reads: bool,
    /// `cluster-allow-pubsubshard-when-down`.
    pub channels: bool,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Serve it.
    Here,
    /// `-MOVED`: that node serves the slot.
    Moved(NodeKey),
    /// `-ASK`: that node is getting the slot.
    Ask(NodeKey),
    /// `-TRYAGAIN`: some keys are here, some are on their way.
    TryAgain,
    /// `-CLUSTERDOWN Hash slot not served`.
    Unbound,
    /// `-CLUSTERDOWN The cluster is down`.
    Down,
    /// `-CLUSTERDOWN The cluster is down and only accepts read commands`.
    DownForWrites,
}

/// Decides. `missing` is called only if the slot is open here.
#[doc(alias = "getNodeByQuery")]
pub fn decide(
    machine: &Machine,
    want: &Want,
    when_down: WhenDown,
    missing: impl FnOnce() -> Missing,
) -> Route {
    let owners = machine.owners();
    let Some(owner) = owners.of(want.slot) else {
        return Route::Unbound;
    };
    if !machine.is_up() {
        match (want.channels, when_down) {
            (true, WhenDown { channels: true, .. }) => {}
            (true, _) | (false, WhenDown { reads: false, .. }) => return Route::Down,
            (false, _) if want.write => return Route::DownForWrites,
            (false, _) => {}
        }
    }
    let mine = owner == machine.my_key();
    let migrating = owners.migrating.get(&want.slot).filter(|_| mine);
    let importing = owners.importing.contains_key(&want.slot);
    if want.migrate && (migrating.is_some() || importing) {
        return Route::Here;
    }
    if let Some(target) = migrating.filter(|_| !want.channels) {
        return match missing() {
            Missing::None => Route::Here,
            Missing::Some => Route::TryAgain,
            Missing::All => Route::Ask(*target),
        };
    }
    if importing && !mine && want.asking {
        let split = want.several_keys && !want.channels && missing() != Missing::None;
        return if split { Route::TryAgain } else { Route::Here };
    }
    let readable = want.channels || want.readonly && !want.write;
    if readable && machine.myself().primary == Some(owner) {
        return Route::Here;
    }
    match mine {
        true => Route::Here,
        false => Route::Moved(owner),
    }
}
