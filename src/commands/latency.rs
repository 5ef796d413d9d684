//! LATENCY: events that made clients wait, and how long commands take.
//!
//! Mirrors: `latencyCommand` of latency.c and sparkline.c.
//! Differs: the words of the doctor are ours.

use super::prelude::*;
use crate::command::table::{CommandId, Entry};
use crate::config::Config;
use crate::observe::latency::Series;
use crate::resp::Reply;
use crate::state::State;
use crate::util::histogram::Histogram;

pub const COMMANDS: &[&Command] = &[&LATENCY];

const LATENCY: Command = Command {
    name: "latency",
    arity: Arity::AtLeast(2),
    docs: Docs {
        group: Group::Server,
        since: "2.8.13",
        complexity: "Depends on the subcommand",
        summary: "What concerns delays.",
        ..Docs::BASE
    },
    subcommands: &[
        &LATENCY_DOCTOR,
        &LATENCY_GRAPH,
        &LATENCY_HELP,
        &LATENCY_HISTOGRAM,
        &LATENCY_HISTORY,
        &LATENCY_LATEST,
        &LATENCY_RESET,
    ],
    ..Command::BASE
};

const LATENCY_DOCTOR: Command = Command {
    name: "doctor",
    arity: Arity::Exactly(2),
    flags: &[Admin, NoScript, Loading, Stale],
    tips: &[
        "nondeterministic_output",
        "request_policy:all_nodes",
        "response_policy:special",
    ],
    docs: Docs {
        group: Group::Server,
        since: "2.8.13",
        complexity: "O(1)",
        summary: "Explains the delays noted, and what may help.",
        ..Docs::BASE
    },
    run: latency_doctor,
    ..Command::BASE
};

fn latency_doctor(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let text = diagnosis(ctx.state);
    ctx.reply.verbatim("txt", text);
    Ok(())
}

/// A piece of advice against an event.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Advice {
    EnableSlowlog,
    LowerSlowlog,
    ReadSlowlog,
    SmallerKeys,
    BusyMachine,
    LocalDisk,
    FasterDisk,
    NoSyncOnRewrite,
    RelaxSync,
    RaiseHz,
    GentleMaxmemory,
}

/// The text of LATENCY DOCTOR: each event with its figures, then all advice that applies, each once.
#[doc(alias = "createLatencyReport")]
fn diagnosis(state: &State) -> String {
    let config = &state.config;
    let threshold = config.latency_monitor_threshold;
    if state.latency.iter().len() == 0 {
        return if threshold == 0 {
            "Latency monitoring is off. \"CONFIG SET latency-monitor-threshold <milliseconds>\" \
             turns it on.\n"
                .into()
        } else {
            "No delay above the threshold was noted. All is well.\n".into()
        };
    }
    let now = state.clock.unix_seconds();
    let mut text = "Delays were noted:\n\n".to_owned();
    let mut advice = Vec::new();
    for (i, (event, series)) in state.latency.iter().enumerate() {
        let sum = series.summary(now);
        let apart = sum.period_seconds as f64 / sum.count.max(1) as f64;
        text += &format!(
            "{}. {event}: {} latency spikes (average {}ms, mean deviation {}ms, period {apart:.2} sec). \
             Worst all time event {}ms.\n",
            i + 1,
            sum.count,
            sum.mean_ms,
            sum.deviation_ms,
            series.max_ms
        );
        advice.extend(advice_for(event, config));
    }
    advice.sort_unstable();
    advice.dedup();
    if advice.is_empty() {
        return text + "\nThere is no simple advice against these.\n";
    }
    text += "\nWhat may help:\n\n";
    for advice in advice {
        text += &advice.text(config);
    }
    text
}

/// Advice against the delays of an event.
fn advice_for(event: &str, config: &Config) -> Vec<Advice> {
    let threshold = config.latency_monitor_threshold;
    match event {
        "command" => {
            let slower_than = config.slowlog_log_slower_than;
            let slowlog = if slower_than < 0 || config.slowlog_max_len == 0 {
                Advice::EnableSlowlog
            } else if slower_than as u64 / 1000 > threshold {
                Advice::LowerSlowlog
            } else {
                Advice::ReadSlowlog
            };
            vec![slowlog, Advice::ReadSlowlog, Advice::SmallerKeys]
        }
        "fast-command" => vec![Advice::BusyMachine],
        "expire-cycle" => vec![Advice::RaiseHz, Advice::SmallerKeys],
        "eviction-del" => vec![Advice::SmallerKeys],
        "eviction-cycle" => vec![Advice::GentleMaxmemory],
        "aof-fsync-always" => vec![Advice::RelaxSync],
        "aof-write-active-child" => vec![Advice::NoSyncOnRewrite, Advice::FasterDisk],
        _ if event.starts_with("aof") || event.starts_with("rdb") => {
            vec![Advice::LocalDisk, Advice::FasterDisk]
        }
        _ => vec![],
    }
}

impl Advice {
    /// One line of advice; nothing if it does not apply to this configuration.
    fn text(&self, config: &Config) -> String {
        let slowlog_us = config.latency_monitor_threshold * 1000;
        match self {
            Advice::EnableSlowlog => format!(
                "- The slow log is off and cannot show which commands take long: \"CONFIG SET \
                 slowlog-log-slower-than {slowlog_us}\".\n"
            ),
            Advice::LowerSlowlog => format!(
                "- The slow log leaves out commands that were noted here: \"CONFIG SET \
                 slowlog-log-slower-than {slowlog_us}\".\n"
            ),
            Advice::ReadSlowlog => "- SLOWLOG GET shows the commands that took long.\n".into(),
            Advice::SmallerKeys => "- Deleting a big value takes long. Use UNLINK, set \
                 lazyfree-lazy-expire, lazyfree-lazy-eviction and lazyfree-lazy-server-del, or spread \
                 the value over several keys.\n"
                .into(),
            Advice::BusyMachine => "- Even simple commands took long: the machine does not give the \
                 server the processor for long stretches. Look for other load, and at what the \
                 virtual machine is granted.\n"
                .into(),
            Advice::LocalDisk => "- Keep the data files on a local disk that others do not use.\n".into(),
            Advice::FasterDisk => "- A faster disk shortens the time a sync takes.\n".into(),
            Advice::NoSyncOnRewrite => "- \"CONFIG SET no-appendfsync-on-rewrite yes\" skips syncs while \
                 a file is rewritten, if losing these seconds in a crash is acceptable.\n"
                .into(),
            Advice::RelaxSync => "- appendfsync always waits for the disk with every write; everysec \
                 does not.\n"
                .into(),
            Advice::RaiseHz if config.hz >= 100 => String::new(),
            Advice::RaiseHz => "- \"CONFIG SET hz 100\" expires keys in smaller steps.\n".into(),
            Advice::GentleMaxmemory => "- Many keys had to be evicted at once: lower maxmemory in small \
                 steps, and beware of commands that store large results.\n"
                .into(),
        }
    }
}

const LATENCY_GRAPH: Command = Command {
    name: "graph",
    arity: Arity::Exactly(3),
    flags: &[Admin, NoScript, Loading, Stale],
    args: &[arg::string("event")],
    tips: &[
        "nondeterministic_output",
        "request_policy:all_nodes",
        "response_policy:special",
    ],
    docs: Docs {
        group: Group::Server,
        since: "2.8.13",
        complexity: "O(1)",
        summary: "Draws the delays of an event over time.",
        ..Docs::BASE
    },
    run: latency_graph,
    ..Command::BASE
};

/// Draws the delays of an event as text. Fails if there are none.
fn latency_graph(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let event = args.bytes()?;
    let Some((name, series)) = ctx.state.latency.get(event) else {
        let event = String::from_utf8_lossy(event);
        return Err(Error::once(format!(
            "No samples available for event '{event}'"
        )));
    };
    let text = graph(name, series, ctx.state.clock.unix_seconds());
    ctx.reply.verbatim("txt", text);
    Ok(())
}

/// Columns of a graph; more samples continue below.
const COLUMNS: usize = 80;
const ROWS: u64 = 4;

/// Draws a column per sample: its height is the delay, the letters under it say how long ago it was.
#[doc(alias = "latencyCommandGenSparkeline")]
fn graph(name: &str, series: &Series, now: i64) -> String {
    let latencies = || series.iter().map(|s| s.latency_ms);
    let high = latencies().max().unwrap_or(0);
    let low = latencies().min().unwrap_or(0);
    let mut text = format!(
        "{name} - high {high} ms, low {low} ms (all time high {} ms)\n{}\n",
        series.max_ms,
        "-".repeat(COLUMNS)
    );
    let samples: Vec<_> = series.iter().collect();
    for part in samples.chunks(COLUMNS) {
        let labels: Vec<Vec<u8>> = part.iter().map(|s| ago(now - s.time)).collect();
        // Each row has three heights: low, middle, high within it.
        let steps = ROWS * 3;
        let height = |ms: u64| 1 + (ms - low) * (steps - 1) / (high - low).max(1);
        for row in (0..ROWS).rev() {
            let mark = |ms: u64| match (height(ms) as i64) - (row * 3) as i64 {
                ..=0 => ' ',
                1 => '_',
                2 => 'o',
                3 => '#',
                _ => '|',
            };
            let line: String = part.iter().map(|s| mark(s.latency_ms)).collect();
            text += line.trim_end();
            text.push('\n');
        }
        text.push('\n');
        for i in 0..labels.iter().map(Vec::len).max().unwrap_or(0) {
            let letter = |label: &Vec<u8>| char::from(*label.get(i).unwrap_or(&b' '));
            let line: String = labels.iter().map(letter).collect();
            text += line.trim_end();
            text.push('\n');
        }
    }
    text
}

fn ago(seconds: i64) -> Vec<u8> {
    let (figure, unit) = match seconds {
        ..60 => (seconds, 's'),
        60..3600 => (seconds / 60, 'm'),
        3600..86_400 => (seconds / 3600, 'h'),
        _ => (seconds / 86_400, 'd'),
    };
    format!("{figure}{unit}").into_bytes()
}

const LATENCY_HELP: Command = Command {
    name: "help",
    arity: Arity::Exactly(2),
    flags: &[Loading, Stale],
    docs: Docs {
        group: Group::Server,
        since: "2.8.13",
        complexity: "O(1)",
        summary: "Tells what the subcommands do.",
        ..Docs::BASE
    },
    run: latency_help,
    ..Command::BASE
};

fn latency_help(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    ctx.reply.help(
        "LATENCY",
        &[
            "DOCTOR",
            "    What the delays noted mean, in words.",
            "GRAPH <event>",
            "    The delays of an event over time, drawn with letters.",
            "HISTORY <event>",
            "    The delays of an event: unix time and milliseconds.",
            "LATEST",
            "    The latest and the worst delay of each event.",
            "RESET [<event> ...]",
            "    Forget the delays of some events, or of all.",
            "HISTOGRAM [<command> ...]",
            "    How long calls of commands took, as cumulative counts.",
        ],
    );
    Ok(())
}

const LATENCY_HISTOGRAM: Command = Command {
    name: "histogram",
    arity: Arity::AtLeast(2),
    flags: &[Admin, NoScript, Loading, Stale],
    args: &[arg::string("command").optional().multiple()],
    tips: &[
        "nondeterministic_output",
        "request_policy:all_nodes",
        "response_policy:special",
    ],
    docs: Docs {
        group: Group::Server,
        since: "7.0.0",
        complexity: "O(N) where N is the number of commands with figures",
        summary: "Returns how long calls of commands took, as cumulative counts.",
        ..Docs::BASE
    },
    run: latency_histogram,
    ..Command::BASE
};

/// Answers for each command that was called a cumulative histogram of its duration in microseconds.
fn latency_histogram(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let commands = &ctx.state.commands;
    let asked: Vec<&Entry> = if args.is_empty() {
        commands.iter().collect()
    } else {
        let with_subcommands = |id: CommandId| {
            let entry = &commands[id];
            let subcommands = entry.subcommands.iter().map(|id| &commands[*id]);
            std::iter::once(entry).chain(subcommands)
        };
        args.filter_map(|name| commands.find(name))
            .flat_map(with_subcommands)
            .collect()
    };
    let mark = ctx.reply.open();
    let mut shown = 0;
    for entry in asked {
        if let Some(latencies) = &entry.stats.latencies {
            ctx.reply.bulk(entry.name.as_bytes());
            show_histogram(ctx.reply, latencies);
            shown += 1;
        }
    }
    ctx.reply.close_map(mark, shown);
    Ok(())
}

#[doc(alias = "fillCommandCDF")]
fn show_histogram(reply: &mut Reply, latencies: &Histogram) {
    let points = latencies.cumulative();
    reply.map(2);
    reply.bulk(b"calls");
    reply.integer(latencies.count() as i64);
    reply.bulk(b"histogram_usec");
    reply.map(points.len());
    for (microseconds, calls) in points {
        reply.integer(microseconds as i64);
        reply.integer(calls as i64);
    }
}

const LATENCY_HISTORY: Command = Command {
    name: "history",
    arity: Arity::Exactly(3),
    flags: &[Admin, NoScript, Loading, Stale],
    args: &[arg::string("event")],
    tips: &[
        "nondeterministic_output",
        "request_policy:all_nodes",
        "response_policy:special",
    ],
    docs: Docs {
        group: Group::Server,
        since: "2.8.13",
        complexity: "O(1)",
        summary: "Returns the delays of an event.",
        ..Docs::BASE
    },
    run: latency_history,
    ..Command::BASE
};

fn latency_history(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let Some((_, series)) = ctx.state.latency.get(args.bytes()?) else {
        ctx.reply.array(0);
        return Ok(());
    };
    ctx.reply.array(series.iter().len());
    for sample in series.iter() {
        ctx.reply.array(2);
        ctx.reply.integer(sample.time);
        ctx.reply.integer(sample.latency_ms as i64);
    }
    Ok(())
}

const LATENCY_LATEST: Command = Command {
    name: "latest",
    arity: Arity::Exactly(2),
    flags: &[Admin, NoScript, Loading, Stale],
    tips: &[
        "nondeterministic_output",
        "request_policy:all_nodes",
        "response_policy:special",
    ],
    docs: Docs {
        group: Group::Server,
        since: "2.8.13",
        complexity: "O(1)",
        summary: "Returns the latest delay of each event.",
        ..Docs::BASE
    },
    run: latency_latest,
    ..Command::BASE
};

/// Answers for each event its name, the unix time and milliseconds of the latest delay, and the worst delay.
fn latency_latest(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let events = ctx.state.latency.iter();
    ctx.reply.array(events.len());
    for (name, series) in events {
        let (time, latency_ms) = series.last().map_or((0, 0), |s| (s.time, s.latency_ms));
        ctx.reply.array(4);
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.integer(time);
        ctx.reply.integer(latency_ms as i64);
        ctx.reply.integer(series.max_ms as i64);
    }
    Ok(())
}

const LATENCY_RESET: Command = Command {
    name: "reset",
    arity: Arity::AtLeast(2),
    flags: &[Admin, NoScript, Loading, Stale],
    args: &[arg::string("event").optional().multiple()],
    tips: &["request_policy:all_nodes", "response_policy:agg_sum"],
    docs: Docs {
        group: Group::Server,
        since: "2.8.13",
        complexity: "O(1)",
        summary: "Forgets the delays of some events, or of all.",
        ..Docs::BASE
    },
    run: latency_reset,
    ..Command::BASE
};

fn latency_reset(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let latency = &mut ctx.state.latency;
    let reset = if args.is_empty() {
        latency.reset(None)
    } else {
        args.map(|event| latency.reset(Some(event))).sum()
    };
    ctx.reply.count(reset);
    Ok(())
}
