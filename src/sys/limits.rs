//! The limits the system sets the process: the number of open files, and its place in line when memory runs out.
//!
//! Mirrors: adjustOpenFilesLimit() and setOOMScoreAdj() of server.c.
#![allow(unsafe_code)] // getrlimit and setrlimit are system calls.

use std::io;

/// Descriptors kept for everything that is no client: listeners, files, links.
const RESERVED: u64 = 32;
/// Each attempt asks for this many fewer.
#[cfg(unix)]
const STEP: u64 = 16;

/// How many clients the system lets us have, at most `wanted`; raises the limit on open files if that
/// helps.
#[cfg(unix)]
pub fn clients(wanted: u32) -> u32 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a live value of the right type.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return wanted;
    }
    let needed = u64::from(wanted) + RESERVED;
    if limit.rlim_cur >= needed {
        return wanted;
    }
    // The system takes a number whole or not at all: go down until one is taken.
    let mut asked = needed;
    while asked > limit.rlim_cur {
        let new = libc::rlimit {
            rlim_cur: asked,
            rlim_max: asked.max(limit.rlim_max),
        };
        // SAFETY: `new` is a live value of the right type.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const new) } == 0 {
            break;
        }
        // Below the hard limit every number is taken, so there is no use in stepping down to it.
        asked = match asked > limit.rlim_max {
            true => limit.rlim_max,
            false => asked.saturating_sub(STEP),
        };
    }
    let granted = asked.max(limit.rlim_cur).saturating_sub(RESERVED);
    u32::try_from(granted.max(1))
        .unwrap_or(u32::MAX)
        .min(wanted)
}

/// How many clients the system lets us have, at most `wanted`.
#[cfg(not(unix))]
pub fn clients(wanted: u32) -> u32 {
    wanted
}

/// Has the system back this process with ordinary pages alone, whatever its own default is: huge ones make a page that is
/// copied for a snapshot, or returned, cost hundreds of times as much (`disable-thp`). Linux only.
///
/// # Errors
/// The system's: kernels before 3.15 do not know it.
#[doc(alias = "setTHPDisabled")]
pub fn refuse_huge_pages() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    // SAFETY: numbers only.
    if unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Scores the system knows.
const SCORES: std::ops::RangeInclusive<i32> = -1000..=1000;
const OOM_FILE: &str = "/proc/self/oom_score_adj";

/// The process's out-of-memory score, while a server governs it.
#[derive(Debug, Default)]
pub struct OomScore {
    /// The score before we changed it.
    before: Option<i32>,
}

impl OomScore {
    /// Sets the score, `relative` to what it was before the first call; `None` puts that back. Touches
    /// nothing as long as it was never set.
    ///
    /// # Errors
    /// The system's: unprivileged processes may not lower their score.
    pub fn set(&mut self, score: Option<i32>, relative: bool) -> io::Result<()> {
        let new = match (score, self.before) {
            (None, None) => return Ok(()),
            (None, Some(before)) => before,
            (Some(score), before) => {
                let before = match before {
                    Some(before) => before,
                    None => read_score()?,
                };
                self.before = Some(before);
                if relative { before + score } else { score }
            }
        };
        std::fs::write(
            OOM_FILE,
            new.clamp(*SCORES.start(), *SCORES.end()).to_string(),
        )?;
        if score.is_none() {
            self.before = None;
        }
        Ok(())
    }
}

fn read_score() -> io::Result<i32> {
    let text = std::fs::read_to_string(OOM_FILE)?;
    let score = text.trim().parse();
    score.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_granted_up_to_what_is_wanted() {
        assert_eq!(clients(1), 1);
        assert!((1..=u32::MAX).contains(&clients(u32::MAX)));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_score_goes_up_and_comes_back() {
        let before = read_score().unwrap();
        let mut score = OomScore::default();
        score.set(None, false).unwrap();
        assert_eq!(read_score().unwrap(), before);
        score.set(Some(5), true).unwrap();
        assert_eq!(read_score().unwrap(), (before + 5).min(1000));
        score.set(Some(1000), false).unwrap();
        assert_eq!(read_score().unwrap(), 1000);
        // Coming back below is for the privileged.
        if score.set(None, false).is_ok() {
            assert_eq!(read_score().unwrap(), before);
        }
    }
}
