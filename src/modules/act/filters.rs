//! Filters of modules: functions that see a request before it is looked up, and may change its words.
//!
//! Mirrors: moduleCallCommandFilters() of module.c.

use crate::clients::ClientKey;
use crate::modules::{ModuleId, abi};
use crate::resp::argv::{Argv, OwnedArgv};
use crate::state::State;

/// Shows a request to all filters, in order; the changed request, if one changed it. A call of a module is not shown
/// to that module's filters that do not want it.
pub fn filtered(
    state: &mut State,
    client: Option<ClientKey>,
    argv: Argv<'_>,
    caller: Option<ModuleId>,
) -> Option<OwnedArgv> {
    if state.modules.filters.is_empty() {
        return None;
    }
    let client = client.and_then(|key| state.clients.get(key));
    // A call of a module or a script has no client that could be named.
    let id = client.map_or(u64::MAX, |client| client.id.0);
    let filters = state.modules.filters.clone();
    let wanted = filters
        .into_iter()
        .filter(|filter| !(filter.not_own && caller == Some(filter.module.id)));
    abi::filters::run(state, wanted, id, argv)
}
