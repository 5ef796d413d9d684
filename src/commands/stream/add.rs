//! Commands by which entries come: XADD; and the memory of what producers sent: XCFGSET, XIDMPRECORD.
//!
//! XADD is propagated with the ID that was given, and with the length or the first ID that trimming led to, so that it
//! leads there wherever it is repeated:
//!
//! ```text
//!   XADD s MAXLEN ~ 1000 * f v      propagated: XADD s MAXLEN = 1043 1700000000000-0 f v
//! ```
//!
//! (`~` trims whole blocks only, here down to 1043 entries.)
//!
//! A producer that names itself and its message may send the message again after a lost reply; the entry is added once:
//!
//! ```text
//!   XADD s IDMP p1 m7 * f v         1700000000000-0
//!   XADD s IDMP p1 m7 * f v         1700000000000-0    nothing is added, nothing is propagated
//! ```
//!
//! Mirrors: `xaddCommand()` and `streamParseAddOrTrimArgsOrReply()` of t_stream.c.

use super::super::prelude::*;
use super::{INVALID_ID, id, old_words, references, reply_id, strict_id};
use crate::keyspace;
use crate::resp::argv::Argv;
use crate::types::Stream;
use crate::types::stream::{IdBuf, Idmp, IdmpLimits, References, StreamId, Trim, TrimTo};
use crate::util::num::IntBuf;
use crate::util::xxh3::xxh3_64;

/// The ID that XADD is asked to give.
#[derive(Clone, Copy)]
enum Wanted {
    /// `*`.
    Next,
    /// `ms-*`.
    NextOf(u64),
    Exactly(StreamId),
}

impl Wanted {
    /// The ID of the new entry. It must be greater than every ID before.
    fn id(self, stream: &Stream, now_ms: u64) -> Result<StreamId> {
        let last_id = stream.last_id();
        if last_id == StreamId::MAX {
            return Err(Error::once(
                "The stream has exhausted the last possible ID, unable to add more items",
            ));
        }
        let id = match self {
            Wanted::Next => stream.next_id(now_ms),
            Wanted::NextOf(ms) if ms == last_id.ms => {
                let seq = last_id.seq.checked_add(1);
                seq.map(|seq| StreamId::new(ms, seq))
            }
            Wanted::NextOf(ms) => Some(StreamId::new(ms, 0)),
            Wanted::Exactly(id) => Some(id),
        };
        id.filter(|id| *id > last_id).ok_or(Error::once(
            "The ID specified in XADD is equal or smaller than the target stream top item",
        ))
    }
}

/// A trimming as the request asks for it, and the position of its threshold in the request.
#[derive(Clone, Copy)]
pub(super) struct AskedTrim {
    to: TrimTo,
    approximate: bool,
    at: usize,
}

/// The producer (`pid`) and the message (`iid`) that an entry comes from.
#[derive(Clone, Copy)]
struct Message<'a> {
    pid: &'a [u8],
    /// `None` (IDMPAUTO): the digest of the entry's fields and values.
    iid: Option<&'a [u8]>,
}

/// All options of XADD and XTRIM.
#[derive(Default)]
pub(super) struct Options<'a> {
    trim: Option<AskedTrim>,
    limit: Option<i64>,
    references: Option<References>,
    no_create: bool,
    message: Option<Message<'a>>,
    /// XADD: the ID, and its position in the request.
    wanted: Option<(Wanted, usize)>,
}

impl<'a> Options<'a> {
    /// Takes the options, for XADD up to and including the ID.
    #[doc(alias = "streamParseAddOrTrimArgsOrReply")]
    pub(super) fn take(ctx: &Ctx<'_>, args: &mut Args<'a>, xadd: bool) -> Result<Options<'a>> {
        let mut options = Options::default();
        while let Some(word) = args.peek() {
            let at = Args::position(args);
            if xadd && is(word, b'*') {
                args.next();
                options.wanted = Some((Wanted::Next, at));
                break;
            } else if args.word_with("MAXLEN", 1) {
                options.take_trim(args, |args| {
                    let most = args.integer()?;
                    u64::try_from(most)
                        .map(TrimTo::Length)
                        .map_err(|_| Error::once("The MAXLEN argument must be >= 0."))
                })?;
            } else if args.word_with("MINID", 1) {
                options.take_trim(args, |args| Ok(TrimTo::MinId(id(args)?)))?;
            } else if args.word_with("LIMIT", 1) {
                let limit = args.integer()?;
                if limit < 0 {
                    return Err(Error::once("The LIMIT argument must be >= 0."));
                }
                options.limit = Some(limit);
            } else if options.references.is_none()
                && let Some(said) = references(args)
            {
                options.references = Some(said);
            } else if xadd && args.word("NOMKSTREAM") {
                options.no_create = true;
            } else if xadd && options.take_message(args)? {
            } else if xadd {
                args.next();
                let wanted = match StreamId::parse_open(word) {
                    Some(ms) => Wanted::NextOf(ms),
                    None => Wanted::Exactly(strict_id(word)?),
                };
                options.wanted = Some((wanted, at));
                break;
            } else {
                return Err(Error::Syntax);
            }
        }
        options.check(ctx, xadd)?;
        Ok(options)
    }

    fn take_trim(
        &mut self,
        args: &mut Args<'a>,
        threshold: impl FnOnce(&mut Args<'a>) -> Result<TrimTo>,
    ) -> Result {
        if self.trim.is_some() {
            return Err(Error::once(
                "syntax error, MAXLEN and MINID options at the same time are not compatible",
            ));
        }
        let sign = args.peek().filter(|_| args.len() >= 2);
        let approximate = sign.is_some_and(|sign| is(sign, b'~'));
        if approximate || sign.is_some_and(|sign| is(sign, b'=')) {
            args.next();
        }
        let at = Args::position(args);
        self.trim = Some(AskedTrim {
            to: threshold(args)?,
            approximate,
            at,
        });
        Ok(())
    }

    fn take_message(&mut self, args: &mut Args<'a>) -> Result<bool> {
        let auto = args.word_with("IDMPAUTO", 1);
        if !auto && !args.word_with("IDMP", 2) {
            return Ok(false);
        }
        if self.message.is_some() {
            return Err(Error::once(
                "syntax error, IDMP/IDMPAUTO specified multiple times",
            ));
        }
        let pid = args.bytes()?;
        if pid.is_empty() {
            return Err(Error::once(match auto {
                true => "syntax error, IDMPAUTO requires a non-empty producer ID",
                false => "syntax error, IDMP requires a non-empty producer ID",
            }));
        }
        let iid = if auto { None } else { Some(args.bytes()?) };
        if iid.is_some_and(<[u8]>::is_empty) {
            return Err(Error::once(
                "syntax error, IDMP requires a non-empty idempotent ID",
            ));
        }
        self.message = Some(Message { pid, iid });
        Ok(true)
    }

    /// Checks the combination of options.
    fn check(&self, ctx: &Ctx<'_>, xadd: bool) -> Result {
        let given = matches!(
            self.wanted,
            Some((Wanted::NextOf(_) | Wanted::Exactly(_), _))
        );
        if self.message.is_some() && given && !ctx.must_obey() {
            return Err(Error::once(
                "syntax error, IDMP/IDMPAUTO can be used only with auto-generated IDs",
            ));
        }
        if self.trim.is_none() && self.limit.is_some_and(|limit| limit > 0) {
            return Err(Error::once(
                "syntax error, LIMIT cannot be used without specifying a trimming strategy",
            ));
        }
        if self.trim.is_none() && !xadd {
            return Err(Error::once(
                "syntax error, XTRIM must be called with a trimming strategy",
            ));
        }
        let approximate = self.trim.is_some_and(|trim| trim.approximate);
        if self.limit.is_some() && !approximate && !ctx.must_obey() {
            return Err(Error::once(
                "syntax error, LIMIT cannot be used without the special ~ option",
            ));
        }
        Ok(())
    }

    /// The trimming to be done.
    pub(super) fn trim(&self, ctx: &Ctx<'_>) -> Option<Trim> {
        let asked = self.trim?;
        let limit = match self.limit {
            _ if ctx.must_obey() || !asked.approximate => 0,
            Some(limit) => limit as u64,
            // By default, as many entries as fit a hundred blocks, at most a million.
            None => match ctx.state.config.stream_node_max_entries.saturating_mul(100) {
                0 => 10_000,
                limit => (limit as u64).min(1_000_000),
            },
        };
        Some(Trim {
            to: asked.to,
            approximate: asked.approximate,
            limit,
            references: self.references.unwrap_or_default(),
        })
    }

    /// Whether KEEPREF, DELREF or ACKED is among them, which Redis before 8.2 does not know.
    pub(super) fn names_references(&self) -> bool {
        self.references.is_some()
    }

    /// The exact trimming that an approximate one came to: the words that replace its own when it is propagated. `None`
    /// if the request trims exactly or not at all.
    #[doc(alias = "streamRewriteTrimArgument")]
    pub(super) fn exact_trim(&self, stream: &Stream) -> Option<Replaced> {
        let asked = self.trim.filter(|trim| trim.approximate)?;
        let threshold = match asked.to {
            TrimTo::Length(_) => IntBuf::new().format(stream.len() as i64).to_vec(),
            TrimTo::MinId(_) => IdBuf::new().format(stream.first_flagged_id()).to_vec(),
        };
        Some(Replaced {
            at: asked.at,
            threshold,
        })
    }
}

/// The words that [`Options::exact_trim`] puts in place of a request's own.
pub(super) struct Replaced {
    at: usize,
    threshold: Vec<u8>,
}

/// Propagates the request with an exact trimming and the ID that was given in place of its own words.
pub(super) fn rewrite(
    ctx: &mut Ctx<'_>,
    argv: Argv<'_>,
    trim: Option<Replaced>,
    id: Option<(usize, StreamId)>,
) {
    if trim.is_none() && id.is_none() {
        return;
    }
    ctx.rewrite_with(|out| {
        for i in 0..argv.len() {
            match (&trim, id) {
                (Some(trim), _) if i + 1 == trim.at => out.push(b"="),
                (Some(trim), _) if i == trim.at => out.push(&trim.threshold),
                (_, Some((at, id))) if i == at => out.push(IdBuf::new().format(id)),
                _ => out.push_word(argv, i),
            }
        }
    });
}

/// To C the text ends at a zero byte.
fn is(word: &[u8], sign: u8) -> bool {
    word.first() == Some(&sign) && word.get(1).is_none_or(|byte| *byte == 0)
}

pub(super) const XADD: Command = Command {
    name: "xadd",
    arity: Arity::AtLeast(5),
    flags: &[Write, DenyOom, Fast],
    acl: &[Category::Stream],
    keys: &[KeySpec::at(1, &[Rw, Update])],
    args: &[
        arg::key("key"),
        arg::word("nomkstream", "NOMKSTREAM")
            .optional()
            .since("6.2.0"),
        arg::one_of(
            "condition",
            &[
                arg::word("keepref", "KEEPREF"),
                arg::word("delref", "DELREF"),
                arg::word("acked", "ACKED"),
            ],
        )
        .optional(),
        arg::one_of(
            "idmp",
            &[
                arg::block(
                    "idmpauto-with-pid",
                    &[arg::word("idmpauto-token", "IDMPAUTO"), arg::string("pid")],
                ),
                arg::block(
                    "idmp-with-pid-iid",
                    &[
                        arg::word("idmp-token", "IDMP"),
                        arg::string("pid"),
                        arg::string("iid"),
                    ],
                ),
            ],
        )
        .optional(),
        arg::block(
            "trim",
            &[
                arg::one_of(
                    "strategy",
                    &[
                        arg::word("maxlen", "MAXLEN"),
                        arg::word("minid", "MINID").since("6.2.0"),
                    ],
                ),
                arg::one_of(
                    "operator",
                    &[arg::word("equal", "="), arg::word("approximately", "~")],
                )
                .optional(),
                arg::string("threshold"),
                arg::integer("count")
                    .token("LIMIT")
                    .optional()
                    .since("6.2.0"),
            ],
        )
        .optional(),
        arg::one_of(
            "id-selector",
            &[arg::word("auto-id", "*"), arg::string("id")],
        ),
        arg::block("data", &[arg::string("field"), arg::string("value")]).multiple(),
    ],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(1), plus O(N) for N entries trimmed",
        summary: "Adds an entry to a stream, and trims it if asked to.",
        ..Docs::BASE
    },
    run: xadd,
    ..Command::BASE
};

/// Appends an entry and answers its ID, which must be greater than every ID before; `*` takes one from the clock. Trims
/// the stream if asked to, and creates it unless NOMKSTREAM is given, which answers null.
///
/// A message that its producer sent before answers the ID of the first time and changes nothing. Clients blocked on the
/// stream are served after this command. Propagated with the ID it gave and an exact trimming (see the top of this
/// file).
#[doc(alias = "xaddCommand")]
fn xadd(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let mut options = Options::take(ctx, &mut args, true)?;
    let argv = args.argv();
    let pairs = args.len() / 2;
    let Some((wanted, id_at)) = options
        .wanted
        .filter(|_| pairs > 0 && args.len().is_multiple_of(2))
    else {
        return Err(Error::WrongArity(ctx.name()));
    };
    if matches!(wanted, Wanted::Exactly(StreamId::MIN)) {
        return Err(Error::once(
            "The ID specified in XADD must be greater than 0-0",
        ));
    }
    let digest;
    if let Some(message) = &mut options.message
        && message.iid.is_none()
    {
        digest = digest_of(args);
        message.iid = Some(&digest);
    }
    let now_ms = ctx.now_ms() as u64;
    let (limits, idmp_limits) = (
        super::stream_limits(ctx.state),
        super::idmp_limits(ctx.state),
    );
    let trim = options.trim(ctx);

    let mut fresh = None;
    let stream = match ctx.state.keyspace[ctx.db].get_mut_as::<Stream>(key)? {
        Some(stream) => stream,
        None if options.no_create => {
            ctx.reply.null();
            return Ok(());
        }
        None => fresh.insert(Stream::new()),
    };
    if let Some(Message {
        pid,
        iid: Some(iid),
    }) = options.message
        && stream.idmp().is_some()
    {
        let idmp = stream.idmp_mut(idmp_limits);
        idmp.expire(pid, now_ms);
        if let Some(id) = idmp.get(pid, iid) {
            idmp.duplicates += 1;
            reply_id(ctx.reply, id);
            return Ok(());
        }
    }
    let id = wanted.id(stream, now_ms)?;
    stream
        .append(id, args, pairs, limits)
        .map_err(|_| Error::once("Elements are too large to be stored"))?;
    if let Some(Message {
        pid,
        iid: Some(iid),
    }) = options.message
    {
        let idmp = stream.idmp_mut(idmp_limits);
        idmp.insert(pid, iid, id);
        idmp.added += 1;
    }
    let trimmed = trim.map(|trim| stream.trim(&trim)).unwrap_or_default();
    let exact = options.exact_trim(stream);
    let trimmed_to = old_words::trimmed_to(stream, &trimmed);

    if let Some(stream) = fresh {
        ctx.create(key, stream);
    }
    ctx.modified(key, Event::stream("xadd"));
    if trimmed.entries > 0 {
        ctx.notify(key, Event::stream("xtrim"));
    }
    reply_id(ctx.reply, id);
    if options.names_references() && options.message.is_none() {
        old_words::say_add(ctx, argv.skip(id_at + 1), (key, id), &trimmed, trimmed_to);
        return Ok(());
    }
    let chosen = !matches!(wanted, Wanted::Exactly(_));
    rewrite(ctx, argv, exact, chosen.then_some((id_at, id)));
    Ok(())
}

/// The name of a message whose producer gives none (IDMPAUTO): the sum of the digests of its pairs, so their order does
/// not matter.
fn digest_of(mut words: Args<'_>) -> [u8; 16] {
    let mut sum = 0u128;
    while let (Some(field), Some(value)) = (words.next(), words.next()) {
        let length = (field.len() as u64).to_le_bytes();
        let pair = [&length, field, value, b"+"].concat();
        let (low, high) = (xxh3_64(&pair), xxh3_64(&pair[..pair.len() - 1]));
        sum = sum.wrapping_add(u128::from(high) << 64 | u128::from(low));
    }
    sum.to_le_bytes()
}

pub(super) const XCFGSET: Command = Command {
    name: "xcfgset",
    arity: Arity::AtLeast(2),
    flags: &[Write, Fast],
    acl: &[Category::Stream],
    keys: &[KeySpec::at(1, &[Rw, Update])],
    args: &[
        arg::key("key"),
        arg::block(
            "idmp-duration-block",
            &[
                arg::word("idmp-duration-token", "IDMP-DURATION"),
                arg::integer("duration"),
            ],
        )
        .optional(),
        arg::block(
            "idmp-maxsize-block",
            &[
                arg::word("idmp-maxsize-token", "IDMP-MAXSIZE"),
                arg::integer("maxsize"),
            ],
        )
        .optional(),
    ],
    docs: Docs {
        group: Group::Stream,
        since: "8.6.0",
        complexity: "O(1)",
        summary: "Sets for how long, and of how many messages, a stream remembers what its producers sent.",
        ..Docs::BASE
    },
    run: xcfgset,
    ..Command::BASE
};

/// Sets how long and how many messages of producers a stream remembers. Fails if the key is missing. Propagated as it
/// came if a limit changed.
#[doc(alias = "xcfgsetCommand")]
fn xcfgset(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let stream = ctx.state.keyspace[ctx.db].get_mut_as::<Stream>(key)?;
    let known = stream.ok_or(Error::NoSuchKey)?.idmp().map(Idmp::limits);
    if args.is_empty() {
        return Err(Error::once("At least one parameter must be specified"));
    }
    let (mut duration, mut size) = (None, None);
    while !args.is_empty() {
        if args.word_with("IDMP-DURATION", 1) {
            if duration.is_some() {
                return Err(Error::once("IDMP-DURATION specified multiple times"));
            }
            let text = "IDMP-DURATION must be between 1 and 86400 seconds";
            duration = Some(within(&mut args, 86_400, text)?);
        } else if args.word_with("IDMP-MAXSIZE", 1) {
            if size.is_some() {
                return Err(Error::once("IDMP-MAXSIZE specified multiple times"));
            }
            let text = "IDMP-MAXSIZE must be between 1 and 10000 entries";
            size = Some(within(&mut args, 10_000, text)?);
        } else {
            return Err(Error::Syntax);
        }
    }
    let defaults = super::idmp_limits(ctx.state);
    let now = known.unwrap_or(defaults);
    let wanted = IdmpLimits {
        duration_s: duration.unwrap_or(now.duration_s),
        max_size: size.unwrap_or(now.max_size),
    };
    // Limits that equal the present ones change nothing, and are not propagated.
    if wanted != now
        && let Some(stream) = ctx.state.keyspace[ctx.db].get_mut_as::<Stream>(key)?
    {
        stream.idmp_mut(defaults).set_limits(wanted);
        ctx.state.dirty += 1;
        keyspace::act::notify::touched(ctx.state, ctx.db, key);
    }
    ctx.reply.ok();
    Ok(())
}

fn within(args: &mut Args<'_>, most: u64, error: &'static str) -> Result<u64> {
    let number = args.integer()?;
    let number = u64::try_from(number).ok();
    number
        .filter(|n| (1..=most).contains(n))
        .ok_or(Error::once(error))
}

pub(super) const XIDMPRECORD: Command = Command {
    name: "xidmprecord",
    arity: Arity::Exactly(5),
    flags: &[Write, DenyOom, Fast],
    acl: &[Category::Stream],
    keys: &[KeySpec::at(1, &[Rw, Update])],
    args: &[
        arg::key("key"),
        arg::string("pid"),
        arg::string("iid"),
        arg::string("stream-id"),
    ],
    docs: Docs {
        group: Group::Stream,
        since: "8.6.2",
        complexity: "O(1)",
        summary: "Notes under which ID a message of a producer was added; what an append-only file says.",
        ..Docs::BASE
    },
    run: xidmprecord,
    ..Command::BASE
};

/// Records that an existing entry is a given message of a producer; a rewritten AOF restores the memory of producers
/// so. Fails if the entry is missing or the message is known under another ID.
#[doc(alias = "xidmprecordCommand")]
fn xidmprecord(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, pid, iid) = (args.key()?, args.bytes()?, args.bytes()?);
    let id = StreamId::parse(args.bytes()?, 0).ok_or(INVALID_ID)?;
    args.end()?;
    if pid.is_empty() {
        return Err(Error::once("producer ID must be non-empty"));
    }
    if iid.is_empty() {
        return Err(Error::once("idempotent ID must be non-empty"));
    }
    let defaults = super::idmp_limits(ctx.state);
    let stream = ctx.state.keyspace[ctx.db].get_mut_as::<Stream>(key)?;
    let stream = stream.ok_or(Error::NoSuchKey)?;
    if !stream.contains(id) {
        return Err(Error::once("No such message in stream"));
    }
    match stream.idmp().and_then(|idmp| idmp.get(pid, iid)) {
        Some(known) if known == id => {}
        Some(_) => {
            return Err(Error::once(
                "The specified IDMP producer-id/idempotent-id pair maps to a different stream ID",
            ));
        }
        None => {
            let idmp = stream.idmp_mut(defaults);
            idmp.insert(pid, iid, id);
            idmp.added += 1;
            ctx.state.dirty += 1;
            keyspace::act::notify::touched(ctx.state, ctx.db, key);
        }
    }
    ctx.reply.ok();
    Ok(())
}
