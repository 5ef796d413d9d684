//! SORT and SORT_RO: the elements of a list, set or sorted set in order, or values of other keys that they name.
//!
//! ```text
//!   list of ids     3 1 2
//!   BY  w_*         w_3 = 5   w_1 = 9   w_2 = 1        each element's weight: a key, or a field "w_*->f"
//!   order           2 3 1                              LIMIT cuts it
//!   GET # GET n_*   2 n_2  3 n_3  1 n_1                answered, or with STORE a list of its own
//! ```
//!
//! Elements and weights are copied into one run of bytes and sorted as ranges of it, so that nothing is borrowed while
//! keys are looked up: a lookup may publish a miss or delete an expired field.
//!
//! Invariant: the order is total. Equal scores are ordered by the elements, and elements that are still equal keep
//! their order in the value; so LIMIT needs to sort no more than it shows.
//!
//! Mirrors: sort.c.
//! Differs: ALPHA compares bytes, not what the locale makes of them (in the C locale the same); a sorted set is not
//! converted by looking at it.

use std::cmp::Ordering;
use std::ops::Range;

use super::list;
use super::prelude::*;
use crate::acl;
use crate::cluster;
use crate::command::{Arg, KeyRef};
use crate::keyspace;
use crate::keyspace::{Deadline, NewValue};
use crate::resp::argv::Argv;
use crate::resp::up_to_zero;
use crate::types::hash::is_past;
use crate::types::list::End;
use crate::types::zset::Direction;
use crate::types::{Hash, Held, Kind, List, Typed, Value};
use crate::util::crc16::{crc16, key_hash_slot};
use crate::util::num::{IntBuf, parse_f64};

pub const COMMANDS: &[&Command] = &[&SORT, &SORT_RO];

const OPTIONS: [Arg; 6] = [
    arg::key("key"),
    arg::pattern("by-pattern")
        .shown_as("pattern")
        .spec(1)
        .token("BY")
        .optional(),
    arg::block("limit", &[arg::integer("offset"), arg::integer("count")])
        .token("LIMIT")
        .optional(),
    arg::pattern("get-pattern")
        .shown_as("pattern")
        .spec(1)
        .token("GET")
        .optional()
        .multiple_token(),
    arg::one_of(
        "order",
        &[arg::word("asc", "ASC"), arg::word("desc", "DESC")],
    )
    .optional(),
    arg::word("sorting", "ALPHA").optional(),
];

const COMPLEXITY: &str = "O(N+M*log(M)) where N is the number of elements and M how many are returned, and a lookup \
                          for each pattern and element.";

const SORT: Command = Command {
    name: "sort",
    arity: Arity::AtLeast(2),
    flags: &[Write, DenyOom, MovableKeys],
    acl: &[
        Category::Set,
        Category::SortedSet,
        Category::List,
        Category::Dangerous,
    ],
    keys: &[
        KeySpec::at(1, &[Ro, Access]),
        KeySpec::unknown(&[Ro, Access])
            .notes("What BY and GET look at: the names are made of the elements."),
        KeySpec::unknown(&[Ow, Update])
            .notes("What STORE names, wherever among the arguments it stands."),
    ],
    find_keys: Some(sort_keys),
    args: &[
        OPTIONS[0],
        OPTIONS[1],
        OPTIONS[2],
        OPTIONS[3],
        OPTIONS[4],
        OPTIONS[5],
        arg::key("destination").spec(2).token("STORE").optional(),
    ],
    docs: Docs {
        group: Group::Generic,
        since: "1.0.0",
        complexity: COMPLEXITY,
        summary: "Returns or stores the elements of a list, a set or a sorted set in order.",
        ..Docs::BASE
    },
    run: sort,
    ..Command::BASE
};

#[doc(alias = "sortCommand")]
fn sort(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    sort_generic(ctx, args, true)
}

const SORT_RO: Command = Command {
    name: "sort_ro",
    arity: Arity::AtLeast(2),
    flags: &[ReadOnly, MovableKeys],
    acl: &[
        Category::Set,
        Category::SortedSet,
        Category::List,
        Category::Dangerous,
    ],
    keys: &[
        KeySpec::at(1, &[Ro, Access]),
        KeySpec::unknown(&[Ro, Access])
            .notes("What BY and GET look at: the names are made of the elements."),
    ],
    find_keys: Some(sort_ro_keys),
    args: &OPTIONS,
    docs: Docs {
        group: Group::Generic,
        since: "7.0.0",
        complexity: COMPLEXITY,
        summary: "Returns the elements of a list, a set or a sorted set in order; never stores.",
        ..Docs::BASE
    },
    run: sort_ro,
    ..Command::BASE
};

#[doc(alias = "sortroCommand")]
fn sort_ro(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    sort_generic(ctx, args, false)
}

/// Finds the key to sort, and the last key named by STORE. Words that follow an option are not taken for options.
#[doc(alias = "sortGetKeys")]
fn sort_keys(argv: Argv<'_>, found: &mut Vec<KeyRef>) -> Result {
    sort_ro_keys(argv, found)?;
    let mut store = None;
    let mut i = 2;
    while i < argv.len() {
        let word = argv.get(i);
        if word.eq_ignore_ascii_case(b"limit") {
            i += 2;
        } else if word.eq_ignore_ascii_case(b"get") || word.eq_ignore_ascii_case(b"by") {
            i += 1;
        } else if word.eq_ignore_ascii_case(b"store") && i + 1 < argv.len() {
            store = Some(i + 1);
        }
        i += 1;
    }
    found.extend(store.map(|position| KeyRef {
        position,
        flags: &[Ow, Update],
    }));
    Ok(())
}

#[doc(alias = "sortROGetKeys")]
fn sort_ro_keys(_: Argv<'_>, found: &mut Vec<KeyRef>) -> Result {
    found.push(KeyRef {
        position: 1,
        flags: &[Ro, Access],
    });
    Ok(())
}

/// The options of SORT, read from the request.
#[derive(Debug)]
struct Options<'a> {
    descending: bool,
    alpha: bool,
    /// Offset and count as given; a negative count is no limit.
    limit: (i64, i64),
    by: By<'a>,
    get: Vec<Pattern<'a>>,
    store: Option<&'a [u8]>,
}

#[derive(Clone, Copy, Debug)]
enum By<'a> {
    /// The elements themselves.
    Element,
    /// BY with a pattern without `*`, such as `nosort`: elements keep the order they have in the value.
    Nothing,
    Pattern(Pattern<'a>),
}

impl<'a> Options<'a> {
    fn take(ctx: &mut Ctx<'_>, mut args: Args<'a>, may_store: bool) -> Result<Self> {
        let mut options = Options {
            descending: false,
            alpha: false,
            limit: (0, -1),
            by: By::Element,
            get: Vec::new(),
            store: None,
        };
        let argv = args.argv();
        while !args.is_empty() {
            if args.word("ASC") {
                options.descending = false;
            } else if args.word("DESC") {
                options.descending = true;
            } else if args.word("ALPHA") {
                options.alpha = true;
            } else if args.word_with("LIMIT", 2) {
                options.limit = (args.integer()?, args.integer()?);
            } else if may_store && args.word_with("STORE", 1) {
                options.store = Some(args.key()?);
            } else if args.word_with("BY", 1) {
                let pattern = args.bytes()?;
                options.by = if up_to_zero(pattern).contains(&b'*') {
                    may_look_up(ctx, argv, pattern, "BY")?;
                    By::Pattern(Pattern::new(pattern))
                } else {
                    By::Nothing
                };
            } else if args.word_with("GET", 1) {
                let pattern = args.bytes()?;
                may_look_up(ctx, argv, pattern, "GET")?;
                options.get.push(Pattern::new(pattern));
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(options)
    }

    /// The places, in the final order of `len` elements, that LIMIT shows.
    fn shown(&self, len: usize) -> Range<usize> {
        let (offset, count) = self.limit;
        let start = usize::try_from(offset.max(0)).map_or(len, |n| n.min(len));
        let end = match usize::try_from(count) {
            Ok(count) => start.saturating_add(count).min(len),
            Err(_) => len,
        };
        start..end
    }
}

/// Checks that keys made of a pattern may be read. In a cluster they must be in the slot of the key that is sorted; and
/// since the ACL cannot be asked about each of them, the user must be allowed to read all keys.
fn may_look_up(ctx: &mut Ctx<'_>, argv: Argv<'_>, pattern: &[u8], option: &str) -> Result {
    let key = argv.get(1);
    let is_element = option == "GET" && pattern == b"#";
    let elsewhere = || !is_element && pattern_slot(pattern) != Some(key_hash_slot(key));
    if !ctx.state.config.cluster_enabled {
        if cluster::act::compatible::is_sampled(ctx.state) && elsewhere() {
            ctx.state.stats.cluster_incompatible_ops += 1;
        }
    } else if elsewhere() {
        return Err(Error::once(format!(
            "{option} option of SORT denied in Cluster mode when keys formed by the pattern may be in different slots."
        )));
    }
    if !acl::act::may_read_all_keys(ctx.state, ctx.client, ctx.command, argv) {
        return Err(Error::once(format!(
            "{option} option of SORT denied due to insufficient ACL permissions."
        )));
    }
    Ok(())
}

/// The slot of all keys that a pattern can make, if it is the same for all: there is a hash tag before the first
/// wildcard.
#[doc(alias = "patternHashSlot")]
fn pattern_slot(pattern: &[u8]) -> Option<u16> {
    let mut open = None;
    let mut empty_tag = false;
    for (i, byte) in pattern.iter().enumerate() {
        match (byte, open) {
            (b'*' | b'?' | b'[' | b'\\', _) => return None,
            (b'{', None) if !empty_tag => open = Some(i),
            (b'}', Some(at)) if i == at + 1 => (open, empty_tag) = (None, true),
            (b'}', Some(_)) => return Some(key_hash_slot(pattern)),
            _ => {}
        }
    }
    Some(crc16(pattern) % crate::util::crc16::SLOTS)
}

/// A pattern in parts: `before*after`, or `before*after->field`.
#[derive(Clone, Copy, Debug)]
enum Pattern<'a> {
    /// `#`: the element.
    Element,
    /// No `*`: no key.
    Fixed,
    Key {
        before: &'a [u8],
        after: &'a [u8],
        field: Option<&'a [u8]>,
    },
}

impl<'a> Pattern<'a> {
    fn new(pattern: &'a [u8]) -> Self {
        // Redis looks for its marks as C does, up to a zero byte.
        let text = up_to_zero(pattern);
        if text == b"#" {
            return Pattern::Element;
        }
        let Some(star) = text.iter().position(|&byte| byte == b'*') else {
            return Pattern::Fixed;
        };
        let arrow = text[star + 1..].windows(2).position(|two| two == b"->");
        let arrow = arrow
            .map(|at| star + 1 + at)
            .filter(|at| at + 2 < text.len());
        Pattern::Key {
            before: &pattern[..star],
            after: &pattern[star + 1..arrow.unwrap_or(pattern.len())],
            field: arrow.map(|at| &pattern[at + 2..]),
        }
    }

    /// Looks up the key or field that the pattern makes of an element and hands its text, if there is one, to `f`.
    /// `name` is room for the key's name.
    #[doc(alias = "lookupKeyByPattern")]
    fn look_up<R>(
        &self,
        ctx: &mut Ctx<'_>,
        element: &[u8],
        name: &mut Vec<u8>,
        f: impl FnOnce(&mut crate::resp::Reply, Option<&[u8]>) -> R,
    ) -> R {
        let (before, after, field) = match *self {
            Pattern::Element => return f(ctx.reply, Some(element)),
            Pattern::Fixed => return f(ctx.reply, None),
            Pattern::Key {
                before,
                after,
                field,
            } => (before, after, field),
        };
        name.clear();
        name.extend_from_slice(before);
        name.extend_from_slice(element);
        name.extend_from_slice(after);
        let mut digits = IntBuf::new();
        let db = &ctx.state.keyspace[ctx.db];
        let Some(entry) = db.get(name) else {
            ctx.missed(name);
            return f(ctx.reply, None);
        };
        let Some(field) = field else {
            let value = entry.string();
            return f(
                ctx.reply,
                value.as_ref().map(|text| text.as_bytes(&mut digits)),
            );
        };
        let Some(hash) = entry.value().as_object().and_then(Hash::of) else {
            return f(ctx.reply, None);
        };
        let now = ctx.state.keyspace.env().field_time();
        match hash.get(field) {
            Some(found) if is_past(found.deadline, now) => {
                let result = f(ctx.reply, None);
                keyspace::act::fields::bury_fields(ctx.state, ctx.db, name, &[field]);
                result
            }
            Some(found) => f(ctx.reply, Some(found.value.as_bytes(&mut digits))),
            None => f(ctx.reply, None),
        }
    }
}

/// A range of [`Elements::text`].
#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
enum Weight {
    /// No weight: the key it would come from is not there.
    None,
    Number(f64),
    Text(Span),
}

#[derive(Clone, Copy, Debug)]
struct Item {
    element: Span,
    weight: Weight,
}

/// The elements to sort, copied.
#[derive(Debug, Default)]
struct Elements {
    text: Vec<u8>,
    items: Vec<Item>,
}

impl Elements {
    fn keep(&mut self, bytes: &[u8]) -> Span {
        let start = self.text.len();
        self.text.extend_from_slice(bytes);
        Span {
            start,
            len: bytes.len(),
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        let element = self.keep(bytes);
        let weight = Weight::None;
        self.items.push(Item { element, weight });
    }

    fn bytes(&self, span: Span) -> &[u8] {
        &self.text[span.start..span.start + span.len]
    }

    /// The elements of a value at these places of its own order, from its end if `reversed`. O(log n + elements).
    fn of(value: &Value, places: Range<usize>, reversed: bool) -> Option<Elements> {
        let mut all = Elements::default();
        all.items.reserve_exact(places.len());
        let mut digits = IntBuf::new();
        match value.typed() {
            Typed::List(list) => {
                let mut add = |entry: crate::collections::listpack::LpEntry<'_>| {
                    all.add(entry.as_bytes(&mut digits));
                    std::ops::ControlFlow::<()>::Continue(())
                };
                let _ = if reversed {
                    let len = list.len();
                    list.visit_back(len - places.end, len - places.start, &mut add)
                } else {
                    list.visit(places.start, places.end, &mut add)
                };
            }
            Typed::Set(set) => set
                .iter()
                .for_each(|member| all.add(member.as_bytes(&mut digits))),
            Typed::Zset(zset) => {
                let (ranks, direction) = if reversed {
                    let len = zset.len();
                    (len - places.end..len - places.start, Direction::Down)
                } else {
                    (places, Direction::Up)
                };
                let ranks = ranks.start as u64..ranks.end as u64;
                zset.range(ranks, direction)
                    .for_each(|scored| all.add(scored.member.as_bytes(&mut digits)));
            }
            #[allow(unreachable_patterns)]
            _ => return None,
        }
        Some(all)
    }

    /// Finds the weight of each element; false if a weight should be a number and is none.
    fn weigh(&mut self, ctx: &mut Ctx<'_>, by: Option<Pattern<'_>>, alpha: bool) -> bool {
        let mut numbers = true;
        let mut name = Vec::new();
        let mut number = |text: &[u8]| {
            let text = up_to_zero(text);
            // An empty text counts as 0.
            let score = if text.is_empty() {
                Some(0.0)
            } else {
                parse_f64(text)
            };
            numbers &= score.is_some();
            Weight::Number(score.unwrap_or(0.0))
        };
        for i in 0..self.items.len() {
            let element = self.items[i].element;
            let weight = match by {
                None if alpha => Weight::Text(element),
                None => number(self.bytes(element)),
                Some(by) => {
                    let mut kept = None;
                    let weight =
                        by.look_up(
                            ctx,
                            self.bytes(element),
                            &mut name,
                            |_, found| match found {
                                None if alpha => Weight::None,
                                None => Weight::Number(0.0),
                                Some(text) if alpha => {
                                    kept = Some(text.to_vec());
                                    Weight::None
                                }
                                Some(text) => number(text),
                            },
                        );
                    match kept {
                        Some(text) => Weight::Text(self.keep(&text)),
                        None => weight,
                    }
                }
            };
            self.items[i].weight = weight;
        }
        numbers
    }

    /// Brings the elements that are shown to their places. O(n + shown · log shown).
    fn sort(&mut self, descending: bool, shown: &Range<usize>) {
        let text = &self.text;
        let bytes = |span: Span| &text[span.start..span.start + span.len];
        let compare = |a: &Item, b: &Item| {
            let order = match (a.weight, b.weight) {
                (Weight::Number(x), Weight::Number(y)) => x
                    .partial_cmp(&y)
                    .unwrap_or(Ordering::Equal)
                    .then_with(|| bytes(a.element).cmp(bytes(b.element))),
                (Weight::Text(x), Weight::Text(y)) => bytes(x).cmp(bytes(y)),
                (Weight::None, Weight::None) => Ordering::Equal,
                (Weight::None, _) => Ordering::Less,
                (_, Weight::None) => Ordering::Greater,
                // All weights of one run are numbers, or none is.
                _ => Ordering::Equal,
            };
            let order = if descending { order.reverse() } else { order };
            // The elements were copied in their own order.
            order.then(a.element.start.cmp(&b.element.start))
        };
        if shown.is_empty() {
            return;
        }
        if shown.end < self.items.len() {
            self.items.select_nth_unstable_by(shown.end, compare);
        }
        self.items[..shown.end].sort_unstable_by(compare);
    }
}

/// SORT and SORT_RO: orders the elements of a list, set or sorted set and answers them, or what GET looks up for each,
/// or stores the result as a list.
///
/// Elements are compared as numbers unless ALPHA is given; a text that is no number is an error. A missing key is
/// empty. With STORE an empty result deletes the destination, and the command is propagated as it came: replicas sort
/// again, so a set under BY nosort, which has no order, is sorted by bytes first.
///
/// BY and GET read keys that the request does not name. They are refused in a cluster when those keys may be in another
/// slot, and to users who may not read all keys.
#[doc(alias = "sortCommandGeneric")]
fn sort_generic(ctx: &mut Ctx<'_>, mut args: Args<'_>, may_store: bool) -> Result {
    let key = args.key()?;
    let mut options = Options::take(ctx, args, may_store)?;

    let found = ctx.state.keyspace[ctx.db].get(key);
    let value = match found.as_ref().map(|entry| entry.value().as_object()) {
        None => None,
        Some(Some(value)) => match value.kind() {
            Kind::List | Kind::Set | Kind::Zset => Some(value),
            _ => return Err(Error::WrongType),
        },
        Some(None) => return Err(Error::WrongType),
    };
    let len = value.map_or(0, Value::count);
    let is_set = value.is_some_and(|value| value.kind() == Kind::Set);
    // Sets have no order of their own: where the result must be the same everywhere, they are sorted.
    let in_script = ctx.origin == crate::dispatch::CallOrigin::Script;
    if is_set && matches!(options.by, By::Nothing) && (options.store.is_some() || in_script) {
        options.by = By::Element;
        options.alpha = true;
    }
    let shown = options.shown(len);
    let sorts = !matches!(options.by, By::Nothing);
    let ordered = !is_set;
    let (places, reversed) = match sorts {
        false if ordered => (shown.clone(), options.descending),
        _ => (0..len, false),
    };
    let first_place = places.start;
    let missing = value.is_none();
    let mut elements = match value {
        Some(value) => Elements::of(value, places, reversed).ok_or(Error::WrongType)?,
        None => Elements::default(),
    };
    if missing {
        ctx.missed(key);
    }
    // A damaged value may hold fewer elements than its header says.
    let held = elements.items.len();
    let shown = match sorts {
        false if ordered => shown.start - first_place..shown.end - first_place,
        _ => shown,
    };
    let shown = shown.start.min(held)..shown.end.min(held);

    if sorts {
        let by = match options.by {
            By::Pattern(pattern) => Some(pattern),
            By::Element | By::Nothing => None,
        };
        if !elements.weigh(ctx, by, options.alpha) {
            return Err(Error::once(
                "One or more scores can't be converted into double",
            ));
        }
        elements.sort(options.descending, &shown);
    }
    match options.store {
        None => {
            answer(ctx, &options, &elements, shown);
            Ok(())
        }
        Some(destination) => {
            store(ctx, destination, &options, &elements, shown);
            Ok(())
        }
    }
}

/// Answers the shown elements, or for each of them what every GET looks up, null if it is missing.
fn answer(ctx: &mut Ctx<'_>, options: &Options<'_>, elements: &Elements, shown: Range<usize>) {
    let each = options.get.len().max(1);
    ctx.reply.array(shown.len().saturating_mul(each));
    let mut name = Vec::new();
    for item in &elements.items[shown] {
        let element = elements.bytes(item.element);
        if options.get.is_empty() {
            ctx.reply.bulk(element);
        }
        for pattern in &options.get {
            pattern.look_up(ctx, element, &mut name, |reply, found| {
                reply.bulk_or_null(found);
            });
        }
        // A client that exceeds its output limit will be closed and reads no more.
        if ctx.reply.overflowed() {
            return;
        }
    }
}

/// Stores the shown elements, or what GET looks up for them, as a list; a missing lookup becomes an empty string.
fn store(
    ctx: &mut Ctx<'_>,
    destination: &[u8],
    options: &Options<'_>,
    elements: &Elements,
    shown: Range<usize>,
) {
    let limits = list::list_limits(ctx.state);
    let mut list = List::builder(limits);
    let mut name = Vec::new();
    for item in &elements.items[shown] {
        let element = elements.bytes(item.element);
        if options.get.is_empty() {
            list.push(End::Tail, element, limits);
        }
        for pattern in &options.get {
            pattern.look_up(ctx, element, &mut name, |_, found| {
                list.push(End::Tail, found.unwrap_or_default(), limits);
            });
        }
    }
    let len = list.len();
    if len > 0 {
        list.finish(limits);
        let value = NewValue::Object(list.into());
        ctx.store(destination, value, Deadline::Set(None));
        ctx.modified_n(destination, Event::list("sortstore"), len);
    } else {
        let lazy = ctx.state.config.lazyfree_lazy_server_del;
        if ctx.delete(destination, lazy) {
            ctx.modified(destination, Event::DEL);
        }
    }
    ctx.reply.count(len);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::argv::OwnedArgv;

    #[test]
    fn patterns_are_taken_apart() {
        let parts = |text: &'static str| match Pattern::new(text.as_bytes()) {
            Pattern::Element => "element".to_owned(),
            Pattern::Fixed => "fixed".to_owned(),
            Pattern::Key {
                before,
                after,
                field,
            } => format!(
                "{} {} {:?}",
                String::from_utf8_lossy(before),
                String::from_utf8_lossy(after),
                field.map(String::from_utf8_lossy)
            ),
        };
        assert_eq!(parts("#"), "element");
        assert_eq!(parts("nosort"), "fixed");
        assert_eq!(parts("a->b"), "fixed");
        assert_eq!(parts("w_*"), "w_  None");
        assert_eq!(parts("w_*_*"), "w_ _* None");
        assert_eq!(parts("a->*->f"), "a->  Some(\"f\")");
        assert_eq!(parts("a*->"), "a -> None");
        assert_eq!(parts("a\0*"), "fixed");
    }

    #[test]
    fn slots_of_patterns() {
        assert_eq!(pattern_slot(b"{a}by*"), Some(key_hash_slot(b"{a}")));
        assert_eq!(pattern_slot(b"by*"), None);
        assert_eq!(pattern_slot(b"{a*}"), None);
        assert_eq!(pattern_slot(b"plain"), Some(key_hash_slot(b"plain")));
        assert_eq!(pattern_slot(b"{}{a}"), Some(key_hash_slot(b"{}{a}")));
    }

    #[test]
    fn the_last_store_counts() {
        let keys = |request: &str| {
            let argv = OwnedArgv::from_words(request.split(' '));
            let mut found = Vec::new();
            sort_keys(argv.as_argv(), &mut found).expect("tells keys");
            found.iter().map(|key| key.position).collect::<Vec<_>>()
        };
        assert_eq!(keys("sort k"), [1]);
        assert_eq!(keys("sort k store a store b"), [1, 5]);
        assert_eq!(keys("sort k get store x"), [1]);
        assert_eq!(keys("sort k limit store 1 store d"), [1, 6]);
        assert_eq!(keys("sort k store"), [1]);
    }
}
