//! A module's child: a copy of the process that a module asked for, waited for by the cron.
//!
//! Redis has one child at a time, whoever it is for. So has a module here; a save in the background is no child, but its
//! thread may be in the middle of something that a copy would find half done, so that none is made meanwhile.
//!
//! Mirrors: RM_Fork(), TerminateModuleForkChild(), ModuleForkDoneHandler() of module.c, checkChildrenDone() of server.c.
//! Differs: only modules fork. What a child reports of its progress (`SendChildHeartbeat`) is not shown.

use crate::modules::{Child, EventData, EventId, abi, kinds};
use crate::state::State;
use crate::sys::fork::{self, Side};
use crate::sys::log::{Level, Role};

/// Makes a copy of the process for a module. Its number here; 0 in the copy.
///
/// # Errors
/// `errno`: there is a child, or a job in the background (EEXIST), or the system has no room.
pub fn begin(
    state: &mut State,
    done: Option<crate::modules::ForkDoneFn>,
    data: crate::modules::Opaque,
) -> Result<i32, i32> {
    let refuse = |state: &State, errno: i32| {
        let reason = crate::config::disk::reason(&std::io::Error::from_raw_os_error(errno));
        state
            .log
            .warning(format_args!("Can't fork for module: {reason}"));
        Err(errno)
    };
    if state.modules.child.is_some() || state.persistence.running.is_some() {
        return refuse(state, libc::EEXIST);
    }
    // The thread that frees memory is idle, so that the copy of the allocator is whole.
    state.lazyfree.settle();
    match fork::fork(&state.log) {
        Ok(Side::Child) => {
            state.log.set_role(Role::Child);
            Ok(0)
        }
        Ok(Side::Parent(pid)) => {
            state.modules.child = Some(Child { pid, done, data });
            state.log.write(
                Level::Verbose,
                &format_args!("Module fork started pid: {pid} "),
            );
            state.tell_modules(EventId::ForkChild, kinds::fork::BORN, EventData::None);
            Ok(pid)
        }
        Err(error) => refuse(state, error.raw_os_error().unwrap_or(libc::EAGAIN)),
    }
}

/// Ends the child of this number. False if there is none.
#[doc(alias = "TerminateModuleForkChild")]
pub fn kill(state: &mut State, pid: i32, wait: bool) -> bool {
    if state
        .modules
        .child
        .take_if(|child| child.pid == pid)
        .is_none()
    {
        return false;
    }
    state.log.write(
        Level::Verbose,
        &format_args!("Killing running module fork child: {pid}"),
    );
    fork::kill(pid, wait);
    state.tell_modules(EventId::ForkChild, kinds::fork::DIED, EventData::None);
    true
}

/// Looks whether the child has ended, and tells its module.
#[doc(alias = "ModuleForkDoneHandler")]
pub fn cron(state: &mut State) {
    let Some(child) = state.modules.child.clone() else {
        return;
    };
    let Some((code, signal)) = fork::ended(child.pid) else {
        return;
    };
    state.modules.child = None;
    let pid = child.pid;
    state.log.notice(format_args!(
        "Module fork exited pid: {pid}, retcode: {code}, bysignal: {signal}"
    ));
    if let Some(done) = child.done {
        abi::callbacks::child_ended(state, done, child.data, code, signal);
    }
    state.tell_modules(EventId::ForkChild, kinds::fork::DIED, EventData::None);
}

/// The server ends, and the child with it.
pub fn end(state: &mut State) {
    if let Some(pid) = state.modules.child.as_ref().map(|child| child.pid) {
        kill(state, pid, false);
    }
}
