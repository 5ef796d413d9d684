//! DEBUG subcommands for tests of the cluster bus: links are cut, messages dropped.
//!
//! Mirrors: debugCommand() of debug.c.

use super::prelude::*;
use crate::cluster;
use crate::cluster::machine::Input;
use crate::cluster::node::LinkId;
use crate::state::State;

/// DEBUG CLUSTERLINK KILL TO|FROM|ALL id: closes the connections to a node, from it, or both.
pub(super) fn kill_links(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let Some(machine) = ctx.state.cluster.machine() else {
        return Err(Error::once(
            "Debug option only available for cluster mode enabled setup!",
        ));
    };
    if !args.word("KILL") {
        return Err(Error::Syntax);
    }
    let (to, from) = match () {
        () if args.word("TO") => (true, false),
        () if args.word("FROM") => (false, true),
        () if args.word("ALL") => (true, true),
        () => return Err(Error::Syntax),
    };
    let id = args.bytes()?;
    let unknown = || Error::quoting("ERR Unknown node ", id, "");
    let key = machine.named(id).ok_or_else(unknown)?;
    let name = machine.nodes()[key].id;
    let links: Vec<LinkId> = machine
        .links_view()
        .iter()
        .filter(|view| view.node == name)
        .map(|view| view.link)
        .filter(|link| match link {
            LinkId::Out(_) => to,
            LinkId::In(_) => from,
        })
        .collect();
    for link in links {
        cluster::act::links::drop_link(ctx.state, link);
    }
    ctx.reply.ok();
    Ok(())
}

/// DEBUG DROP-CLUSTER-PACKET-FILTER n: messages of this kind are ignored from now on; -1 ends that.
pub(super) fn drop_filter(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let kind = args.integer()?;
    tune(ctx.state, |options| {
        options.drop_filter = u16::try_from(kind).ok();
    });
    ctx.reply.ok();
    Ok(())
}

/// DEBUG CLOSE-CLUSTER-LINK-ON-PACKET-DROP 0|1: whether the link of a message that is dropped is closed as well.
pub(super) fn close_on_drop(state: &mut State, on: bool) {
    tune(state, |options| options.close_on_drop = on);
}

fn tune(state: &mut State, change: impl FnOnce(&mut cluster::machine::Options)) {
    if let Some(machine) = state.cluster.machine() {
        let mut options = machine.options().clone();
        change(&mut options);
        cluster::act::carry::step(state, Input::Configure(Box::new(options)));
    }
}
