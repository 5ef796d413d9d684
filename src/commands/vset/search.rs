//! VSIM: the elements most like a vector.
//!
//! ```text
//!   VSIM key … -- short, or inside MULTI or a script --> searched here, answered at once
//!            \-- long --> the client is blocked; a thread searches a snapshot of the set
//!                                 |
//!                         mailbox: the answer -> written, the client goes on
//! ```
//!
//! The answer is that of the moment the command ran, whatever happens to the set meanwhile. The search ends early when
//! its client is gone or no longer blocked.
//!
//! Mirrors: `VSIM_RedisCommand()` of vset.c.
//! Differs: the thread searches a snapshot, so no write waits for it; a short search needs no thread.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::super::prelude::*;
use super::write::EF_RANGE;
use super::{KEYS, project, set_or_miss, vector, wrong_dimension};
use crate::clients::act::waits::answer_blocked;
use crate::clients::{WaitKind, Waiting};
use crate::resp::Reply;
use crate::sys::clock;
use crate::types::Vset;
use crate::types::vset::{Filter, Near, Query};

/// A search that is expected to take longer than this goes to a thread, which costs some ten microseconds. Several clients
/// that search at once add up: with four of them every other command would wait four times as long.
pub(super) const LONG_NS: u64 = 60_000;

/// Bytes of expression and attributes that the filter of a short search may look at: about as long as that, for usual
/// filters. How long the attributes are, no estimate tells.
const BRIEF_BYTES: u64 = 128 << 10;

pub(super) const VSIM: Command = Command {
    name: "VSIM",
    arity: Arity::AtLeast(4),
    flags: &[ReadOnly, Module],
    keys: KEYS,
    args: &[
        arg::key("key"),
        arg::one_of(
            "format",
            &[
                arg::word("ele", "ELE"),
                arg::word("fp32", "FP32"),
                arg::word("values", "VALUES"),
            ],
        ),
        arg::string("vector_or_element"),
        arg::word("withscores", "WITHSCORES").optional(),
        arg::word("withattribs", "WITHATTRIBS").optional(),
        arg::integer("count").token("COUNT").optional(),
        arg::double("max_distance").token("EPSILON").optional(),
        arg::integer("search-exploration-factor")
            .token("EF")
            .optional(),
        arg::string("expression").token("FILTER").optional(),
        arg::integer("max-filtering-effort")
            .token("FILTER-EF")
            .optional(),
        arg::word("truth", "TRUTH").optional(),
        arg::word("nothread", "NOTHREAD").optional(),
    ],
    docs: Docs {
        group: Group::Module,
        since: "8.0.0",
        summary: "Returns the elements of a vector set that are most like a vector or another element.",
        ..Docs::BASE
    },
    run: vsim,
    ..Command::BASE
};

/// A search, with a snapshot of the set and everything else that its answer depends on.
#[derive(Debug)]
pub(super) struct Search {
    set: Vset,
    query: Query,
    epsilon: f32,
    with_scores: bool,
    with_attributes: bool,
}

/// The result of a search. It borrows nothing, because the set may be gone when it is answered.
#[derive(Debug)]
pub(super) struct Found {
    with_scores: bool,
    with_attributes: bool,
    /// Name, score, attributes.
    hits: Vec<(Vec<u8>, f64, Option<Vec<u8>>)>,
}

impl Search {
    /// Searches; ends early when the flag is set.
    #[doc(alias = "VSIM_execute")]
    pub fn run(&self, cancelled: Option<&AtomicBool>) -> Found {
        self.told(self.set.search(&self.query, cancelled))
    }

    /// Searches, unless it turns out that the filter makes it long.
    fn run_briefly(&self) -> Option<Found> {
        let found = self.set.search_within(&self.query, BRIEF_BYTES)?;
        Some(self.told(found))
    }

    fn told(&self, found: Vec<Near>) -> Found {
        let near = found
            .iter()
            .take_while(|near| near.distance / 2.0 <= self.epsilon);
        let hits = near.map(|near| {
            let attribute = match self.with_attributes {
                true => self.set.attribute_of(near.slot).map(<[u8]>::to_vec),
                false => None,
            };
            let score = 1.0 - f64::from(near.distance) / 2.0;
            (self.set.name(near.slot).to_vec(), score, attribute)
        });
        Found {
            with_scores: self.with_scores,
            with_attributes: self.with_attributes,
            hits: hits.collect(),
        }
    }
}

impl Found {
    /// Writes the answer: with RESP3 and anything beside the names a map, else a flat list.
    pub fn write(&self, reply: &mut Reply) {
        let (scores, attributes) = (self.with_scores, self.with_attributes);
        let (both, resp3) = (scores && attributes, reply.resp3());
        if resp3 && (scores || attributes) {
            reply.map(self.hits.len());
        } else {
            let words = 1 + usize::from(scores) + usize::from(attributes);
            reply.array(self.hits.len() * words);
        }
        for (name, score, attribute) in &self.hits {
            reply.bulk(name);
            if resp3 && both {
                reply.array(2);
            }
            if scores {
                reply.double(*score);
            }
            if attributes {
                reply.bulk_or_null(attribute.as_deref());
            }
        }
    }
}

/// Finds the nearest elements. O(log N · EF · M) distances; O(N) with TRUTH.
///
/// Blocks the client if the search may take long, unless NOTHREAD or `vset-force-single-threaded-execution` forbids it.
/// The key is looked up before any word is checked.
#[doc(alias = "VSIM_RedisCommand")]
fn vsim(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let request = args.argv();
    let key = args.key()?;
    let Some(set) = set_or_miss(ctx, key)? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let query = query(&set, &mut args)?;
    let (search, no_thread) = options(set, query, &mut args)?;

    let here =
        no_thread || !ctx.may_block() || ctx.state.config.vset_force_single_threaded_execution;
    let found = if here {
        Some(search.run(None))
    } else if search.set.cost_ns(&search.query) < LONG_NS {
        search.run_briefly()
    } else {
        None
    };
    if let Some(found) = found {
        found.write(ctx.reply);
        return Ok(());
    }
    let (client, cancelled) = (ctx.client, Arc::new(AtomicBool::new(false)));
    let number = ctx.state.searchers.next_number();
    let kind = WaitKind::Search(number);
    let mut waiting = Waiting::new(kind, ctx.command, request.to_owned(), None);
    waiting.search = Some(Arc::clone(&cancelled).into());
    ctx.block(waiting, []);
    let mailbox = ctx.state.mailbox.clone();
    ctx.state.searchers.submit(move || {
        let start = clock::instant();
        let found = search.run(Some(&cancelled));
        // The snapshot is freed on this thread, and with it the whole set if the key was deleted meanwhile.
        drop(search);
        let elapsed = clock::since(start);
        mailbox.send(move |state| {
            answer_blocked(state, client, kind, elapsed, |reply| found.write(reply));
        });
    });
    Ok(())
}

/// Takes the vector that is searched for: that of an element, or one in the request.
fn query(set: &Vset, args: &mut Args<'_>) -> Result<Query> {
    if args.word("ELE") {
        let query = set.query_of(args.bytes()?);
        return query.ok_or_else(|| Error::once("element not found in set"));
    }
    let dim = set.shape().dim;
    let mut vector = vector(args, false)?.vector;
    // A vector that has the dimension of the set counts as projected already.
    if let Some(projection) = set.projection()
        && vector.len() != dim as usize
    {
        vector = project(projection, &vector, dim)?;
    }
    if vector.len() != dim as usize {
        return Err(wrong_dimension(vector.len(), dim));
    }
    Ok(set.query(vector))
}

/// Takes the options; the search, and whether it must not go to a thread.
fn options(set: Vset, query: Query, args: &mut Args<'_>) -> Result<(Search, bool)> {
    let mut search = Search {
        set,
        query,
        epsilon: 2.0,
        with_scores: false,
        with_attributes: false,
    };
    let (mut no_thread, mut filter_ef) = (false, None);
    let at_least_one = |args: &mut Args<'_>, name: &str| -> Result<i64> {
        let number = args.integer().ok().filter(|number| *number > 0);
        number.ok_or_else(|| Error::once(format!("invalid {name}")))
    };
    while !args.is_empty() {
        if args.word("WITHSCORES") {
            search.with_scores = true;
        } else if args.word("WITHATTRIBS") {
            search.with_attributes = true;
        } else if args.word("TRUTH") {
            search.query.exact = true;
        } else if args.word("NOTHREAD") {
            no_thread = true;
        } else if args.word_with("COUNT", 1) {
            search.query.count = at_least_one(args, "COUNT")? as usize;
        } else if args.word_with("EPSILON", 1) {
            let epsilon = args.float().ok().filter(|epsilon| *epsilon > 0.0);
            let epsilon = epsilon.ok_or_else(|| Error::once("invalid EPSILON"))?;
            search.epsilon = epsilon as f32;
        } else if args.word_with("EF", 1) {
            let ef = args.integer().ok().filter(|ef| EF_RANGE.contains(ef));
            search.query.ef = ef.ok_or_else(|| Error::once("invalid EF"))? as usize;
        } else if args.word_with("FILTER-EF", 1) {
            filter_ef = Some(at_least_one(args, "FILTER-EF")? as u64);
        } else if args.word_with("FILTER", 1) {
            let text = args.bytes()?;
            let filter = Filter::compile(text).map_err(|at| {
                let rest = &text[if at < text.len() { at } else { 0 }..];
                Error::quoting("ERR syntax error in FILTER expression near: ", rest, "")
            })?;
            search.query.filter = Some(filter);
        } else {
            return Err(Error::once("syntax error in VSIM command"));
        }
    }
    let count = search.query.count as u64;
    search.query.filter_ef = filter_ef.unwrap_or(count.saturating_mul(100));
    Ok((search, no_thread))
}
