//! The section `persistence` of INFO.
//!
//! Mirrors: the section "persistence" of genRedisInfoString() in server.c.
//! Differs: figures of copy-on-write count bytes copied for a snapshot, since no child has pages of its own.

use crate::persistence::aof::Mode;
use crate::persistence::saving::Running;
use crate::state::State;

/// The fields of INFO's section about files, in Redis's order.
pub fn describe(state: &State) -> Vec<(&'static str, String)> {
    let (p, s) = (&state.persistence, &state.persistence.stats);
    let now_s = state.clock.unix_seconds();
    let flag = |on: bool| u8::from(on).to_string();
    let status = |failed: bool| if failed { "err" } else { "ok" }.to_owned();
    let seconds = |s: Option<i64>| s.unwrap_or(-1).to_string();
    let age = match s.cow_looked_ms {
        0 => 0,
        looked => (state.clock.unix_ms() - looked).max(0) / 1000,
    };
    let (mut done, mut total, mut current) = (0, 0, None);
    if let Some(running) = &p.running {
        done = running.job.keys();
        total = running.keys_total;
        if running.is_save() {
            current = Some(now_s - running.started_s);
        }
    }
    let percent = match total {
        0 => 0.0,
        _ => (done as f64 / total as f64).min(1.0) * 100.0,
    };
    let saving = p.running.as_ref().is_some_and(Running::is_save);
    let mut info = vec![
        (
            "loading",
            flag(state.persistence.is_loading() && !state.persistence.is_loading_beside()),
        ),
        ("async_loading", flag(state.persistence.is_loading_beside())),
        ("current_cow_peak", s.cow_peak_bytes.to_string()),
        ("current_cow_size", s.cow_bytes.to_string()),
        ("current_cow_size_age", age.to_string()),
        ("current_fork_perc", format!("{percent:.2}")),
        ("current_save_keys_processed", done.to_string()),
        ("current_save_keys_total", total.to_string()),
        ("rdb_changes_since_last_save", state.dirty.to_string()),
        ("rdb_bgsave_in_progress", flag(saving)),
        ("rdb_last_save_time", s.last_save_s.to_string()),
        ("rdb_last_bgsave_status", status(s.last_bgsave_failed)),
        ("rdb_last_bgsave_time_sec", seconds(s.last_bgsave_seconds)),
        ("rdb_current_bgsave_time_sec", seconds(current)),
        ("rdb_saves", s.saves.to_string()),
        (
            "rdb_saves_consecutive_failures",
            s.consecutive_failures.to_string(),
        ),
        ("rdb_last_cow_size", s.last_cow_bytes.to_string()),
        (
            "rdb_last_load_keys_expired",
            s.load_keys_expired.to_string(),
        ),
        ("rdb_last_load_keys_loaded", s.load_keys_loaded.to_string()),
    ];
    let aof = &p.aof;
    let rewriting = p.running.as_ref().filter(|running| !running.is_save());
    let since = rewriting.map(|running| now_s - running.started_s);
    info.extend([
        ("aof_enabled", flag(aof.mode != Mode::Off)),
        ("aof_rewrite_in_progress", flag(rewriting.is_some())),
        ("aof_rewrite_scheduled", flag(aof.rewrite_scheduled)),
        (
            "aof_last_rewrite_time_sec",
            seconds(aof.last_rewrite_seconds),
        ),
        ("aof_current_rewrite_time_sec", seconds(since)),
        ("aof_last_bgrewrite_status", status(aof.last_rewrite_failed)),
        ("aof_rewrites", aof.rewrites.to_string()),
        (
            "aof_rewrites_consecutive_failures",
            aof.consecutive_failures.to_string(),
        ),
        ("aof_last_write_status", status(!aof.is_well())),
        ("aof_last_cow_size", aof.last_cow_bytes.to_string()),
        (
            "module_fork_in_progress",
            flag(state.modules.child.is_some()),
        ),
        ("module_fork_last_cow_size", flag(false)),
        ("backup_in_progress", flag(p.backup.is_in_progress())),
    ]);
    if aof.mode != Mode::Off {
        info.extend([
            ("aof_current_size", aof.current_size.to_string()),
            ("aof_base_size", aof.rewrite_base_size.to_string()),
            ("aof_pending_rewrite", flag(aof.rewrite_scheduled)),
            ("aof_buffer_length", aof.buffered().to_string()),
            ("aof_pending_bio_fsync", aof.pending_fsyncs().to_string()),
            ("aof_delayed_fsync", aof.delayed_fsyncs.to_string()),
        ]);
    }
    if let Some(progress) = &p.progress {
        progress.info(now_s, &mut info);
    }
    info
}
