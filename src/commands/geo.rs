//! Places: GEOADD, GEOSEARCH and their kin.
//!
//! A place is the score of a member of a sorted set (`types/geohash.rs`): longitude and latitude as 26 bits each,
//! interleaved, so that places near one another mostly have scores near one another. A search is therefore a few ranges
//! of scores, each member of which is then measured.
//!
//! ```text
//!   GEOADD Sicily 13.361389 38.115556 Palermo    propagated as: zadd Sicily 3479099956230698 Palermo
//! ```
//!
//! Mirrors: geo.c; the arithmetic, geohash.c and geohash_helper.c.
//! Differs: members at the same distance are ordered by score.

use super::lookup::element;
use super::prelude::*;
use super::zset;
use super::zset::{add_all, store_result};
use crate::collections::listpack::LpEntry;
use crate::command::KeyRef;
use crate::resp::argv::Argv;
use crate::types::geohash::{Point, Shape};
use crate::types::zset::{Conditions, Direction, ScoreBound, Zset};
use crate::util::num::{IntBuf, format_fixed};

pub const COMMANDS: &[&Command] = &[
    &GEOADD,
    &GEODIST,
    &GEOHASH,
    &GEOPOS,
    &GEORADIUS,
    &GEORADIUSBYMEMBER,
    &GEORADIUSBYMEMBER_RO,
    &GEORADIUS_RO,
    &GEOSEARCH,
    &GEOSEARCHSTORE,
];

/// The number of digits after the point of a distance.
const DISTANCE_DIGITS: u32 = 4;

// ---- Reading arguments -------------------------------------------------------------------------

/// Takes a longitude and a latitude.
#[doc(alias = "extractLongLatOrReply")]
fn point(args: &mut Args<'_>) -> Result<Point> {
    let (longitude, latitude) = (args.float()?, args.float()?);
    Point::new(longitude, latitude).ok_or_else(|| {
        Error::once(format!(
            "invalid longitude,latitude pair {longitude:.6},{latitude:.6}"
        ))
    })
}

/// Takes a unit of length: the metres in one.
#[doc(alias = "extractUnitOrReply")]
fn unit(args: &mut Args<'_>) -> Result<f64> {
    const UNITS: [(&str, f64); 4] = [("m", 1.0), ("km", 1000.0), ("ft", 0.3048), ("mi", 1609.34)];
    for (name, metres) in UNITS {
        if args.word(name) {
            return Ok(metres);
        }
    }
    Err(Error::once(
        "unsupported unit provided. please use M, KM, FT, MI",
    ))
}

/// Takes a radius and its unit.
#[doc(alias = "extractDistanceOrReply")]
fn circle(args: &mut Args<'_>) -> Result<Shape> {
    let radius = args.float();
    let radius = radius.map_err(|_| Error::once("need numeric radius"))?;
    if radius < 0.0 {
        return Err(Error::once("radius cannot be negative"));
    }
    let unit = unit(args)?;
    Ok(Shape::Circle { radius, unit })
}

/// Takes width, height and their unit.
#[doc(alias = "extractBoxOrReply")]
fn rectangle(args: &mut Args<'_>) -> Result<Shape> {
    let width = args.float();
    let width = width.map_err(|_| Error::once("need numeric width"))?;
    let height = args.float();
    let height = height.map_err(|_| Error::once("need numeric height"))?;
    if height < 0.0 || width < 0.0 {
        return Err(Error::once("height or width cannot be negative"));
    }
    let unit = unit(args)?;
    Ok(Shape::Box {
        width,
        height,
        unit,
    })
}

// ---- Adding and reading ------------------------------------------------------------------------

const GEOADD: Command = Command {
    name: "geoadd",
    arity: Arity::AtLeast(5),
    flags: &[Write, DenyOom],
    acl: &[Category::Geo],
    keys: &[KeySpec::at(1, &[Rw, Update])],
    args: &[
        arg::key("key"),
        arg::one_of("condition", &[arg::word("nx", "NX"), arg::word("xx", "XX")])
            .optional()
            .since("6.2.0"),
        arg::word("change", "CH").optional().since("6.2.0"),
        arg::block(
            "data",
            &[
                arg::double("longitude"),
                arg::double("latitude"),
                arg::string("member"),
            ],
        )
        .multiple(),
    ],
    docs: Docs {
        group: Group::Geo,
        since: "3.2.0",
        complexity: "O(log(N)) for each place, N being the members there are",
        summary: "Adds places, each under a name, or moves those that are there.",
        ..Docs::BASE
    },
    run: geoadd,
    ..Command::BASE
};

/// Adds places as members of a sorted set, under the conditions of ZADD, and answers as ZADD does. All coordinates are
/// checked before anything changes. Propagated as ZADD with the scores.
#[doc(alias = "geoaddCommand")]
fn geoadd(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let argv = args.argv();
    let key = args.key()?;
    let mut conditions = Conditions::default();
    let mut changes = false;
    loop {
        if args.word("NX") {
            conditions.only_new = true;
        } else if args.word("XX") {
            conditions.only_old = true;
        } else if args.word("CH") {
            changes = true;
        } else {
            break;
        }
    }
    let words = args.position();
    if !args.len().is_multiple_of(3) || (conditions.only_new && conditions.only_old) {
        return Err(Error::Syntax);
    }
    let mut places = Vec::with_capacity(args.len() / 3);
    while !args.is_empty() {
        places.push((point(&mut args)?.score(), args.bytes()?));
    }
    if places.is_empty() {
        return Err(Error::Syntax);
    }
    // The propagated command is a ZADD of the scores.
    ctx.rewrite_with(|said| {
        said.push(b"zadd");
        for word in 1..words {
            said.push_word(argv, word);
        }
        for (score, member) in &places {
            said.push_integer(*score as i64);
            said.push(member);
        }
    });
    let count = places.len();
    add_all(ctx, key, conditions, changes, count, places.into_iter())
}

const GEOPOS: Command = Command {
    name: "geopos",
    arity: Arity::AtLeast(2),
    flags: &[ReadOnly],
    acl: &[Category::Geo],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[arg::key("key"), arg::string("member").optional().multiple()],
    docs: Docs {
        group: Group::Geo,
        since: "3.2.0",
        complexity: "O(N) where N is the number of places asked for",
        summary: "Returns the coordinates of places.",
        ..Docs::BASE
    },
    run: geopos,
    ..Command::BASE
};

/// Answers longitude and latitude of members, null for missing ones: the centre of the cell that a score stands for,
/// not exactly the place that was added.
#[doc(alias = "geoposCommand")]
fn geopos(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    each_member(ctx, args, |reply, score| match score {
        Some(score) => {
            let place = Point::from_score(score);
            reply.array(2);
            reply.double(place.longitude());
            reply.double(place.latitude());
        }
        None => reply.null_array(),
    })
}

const GEOHASH: Command = Command {
    name: "geohash",
    arity: Arity::AtLeast(2),
    flags: &[ReadOnly],
    acl: &[Category::Geo],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[arg::key("key"), arg::string("member").optional().multiple()],
    docs: Docs {
        group: Group::Geo,
        since: "3.2.0",
        complexity: "O(N) where N is the number of places asked for",
        summary: "Returns the geohash texts of places.",
        ..Docs::BASE
    },
    run: geohash,
    ..Command::BASE
};

#[doc(alias = "geohashCommand")]
fn geohash(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    each_member(ctx, args, |reply, score| match score {
        Some(score) => reply.bulk(&Point::from_score(score).geohash()),
        None => reply.null(),
    })
}

/// Answers an array with one element for each member that the request names.
fn each_member(
    ctx: &mut Ctx<'_>,
    mut args: Args<'_>,
    write: impl Fn(&mut crate::resp::Reply, Option<f64>),
) -> Result {
    let key = args.key()?;
    let zset = ctx.state.keyspace[ctx.db].get_as::<Zset>(key)?;
    let missing = zset.is_none();
    ctx.reply.array(args.len());
    for member in args {
        write(ctx.reply, zset.and_then(|zset| zset.score(member)));
    }
    if missing {
        ctx.missed(key);
    }
    Ok(())
}

const GEODIST: Command = Command {
    name: "geodist",
    arity: Arity::AtLeast(4),
    flags: &[ReadOnly],
    acl: &[Category::Geo],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[
        arg::key("key"),
        arg::string("member1"),
        arg::string("member2"),
        arg::one_of(
            "unit",
            &[
                arg::word("m", "M"),
                arg::word("km", "KM"),
                arg::word("ft", "FT"),
                arg::word("mi", "MI"),
            ],
        )
        .optional(),
    ],
    docs: Docs {
        group: Group::Geo,
        since: "3.2.0",
        complexity: "O(1)",
        summary: "Returns the distance between two places.",
        ..Docs::BASE
    },
    run: geodist,
    ..Command::BASE
};

/// Answers the distance of two members, in metres or the unit given, with four digits; null if one is missing.
#[doc(alias = "geodistCommand")]
fn geodist(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, from, to) = (args.key()?, args.bytes()?, args.bytes()?);
    let metres = match args.len() {
        0 => 1.0,
        1 => unit(&mut args)?,
        _ => return Err(Error::Syntax),
    };
    let Some(zset) = ctx.db().get_as::<Zset>(key)? else {
        ctx.missed(key);
        ctx.reply.null();
        return Ok(());
    };
    match (zset.score(from), zset.score(to)) {
        (Some(from), Some(to)) => {
            let distance = Point::from_score(from).distance(Point::from_score(to));
            let text = format_fixed(distance / metres, DISTANCE_DIGITS);
            ctx.reply.bulk(text.as_bytes());
        }
        _ => ctx.reply.null(),
    }
    Ok(())
}

// ---- Searching ---------------------------------------------------------------------------------

/// The command that searches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Variant {
    /// GEORADIUS, or GEORADIUSBYMEMBER; whether it may store.
    Radius { by_member: bool, may_store: bool },
    /// GEOSEARCH, or GEOSEARCHSTORE.
    Search { store: bool },
}

/// The arguments of a search: what is searched for, and the form of the answer.
#[derive(Default)]
struct Search<'a> {
    center: Option<Point>,
    shape: Option<Shape>,
    /// The key that the result is stored under, instead of being answered.
    store: Option<&'a [u8]>,
    distances: bool,
    with_distance: bool,
    with_hash: bool,
    with_place: bool,
    /// The largest number of members; 0 means all.
    count: usize,
    /// ANY: the first members found will do, not just the nearest.
    any: bool,
    order: Option<Direction>,
}

/// A member that lies within the shape.
struct Found<'a> {
    member: LpEntry<'a>,
    place: Point,
    /// In metres.
    distance: f64,
    score: f64,
}

const NO_MEMBER: Error = Error::Once(std::borrow::Cow::Borrowed(
    "could not decode requested zset member",
));

fn place_of(zset: &Zset, member: &[u8]) -> Result<Point> {
    zset.score(member).map(Point::from_score).ok_or(NO_MEMBER)
}

impl<'a> Search<'a> {
    /// Reads all arguments after the key. If that key is missing, the member at the centre is not looked up, so it
    /// cannot fail.
    fn take(args: &mut Args<'a>, variant: Variant, zset: Option<&Zset>) -> Result<Self> {
        let mut search = Search::default();
        let mut by_member = false;
        match variant {
            Variant::Radius {
                by_member: false, ..
            } => {
                search.center = Some(point(args)?);
                search.shape = Some(circle(args)?);
            }
            Variant::Radius { .. } => match zset {
                Some(zset) => {
                    search.center = Some(place_of(zset, args.bytes()?)?);
                    search.shape = Some(circle(args)?);
                }
                None => {
                    Args::take(args, 3)?;
                }
            },
            Variant::Search { .. } => {}
        }
        let searching = matches!(variant, Variant::Search { .. });
        let may_store = matches!(
            variant,
            Variant::Radius {
                may_store: true,
                ..
            }
        );
        while !args.is_empty() {
            if args.word("WITHDIST") {
                search.with_distance = true;
            } else if args.word("WITHHASH") {
                search.with_hash = true;
            } else if args.word("WITHCOORD") {
                search.with_place = true;
            } else if args.word("ANY") {
                search.any = true;
            } else if args.word("ASC") {
                search.order = Some(Direction::Up);
            } else if args.word("DESC") {
                search.order = Some(Direction::Down);
            } else if args.word_with("COUNT", 1) {
                let count = args.integer()?;
                if count <= 0 {
                    return Err(Error::once("COUNT must be > 0"));
                }
                search.count = usize::try_from(count).unwrap_or(usize::MAX);
            } else if may_store && args.word_with("STORE", 1) {
                (search.store, search.distances) = (args.next(), false);
            } else if may_store && args.word_with("STOREDIST", 1) {
                (search.store, search.distances) = (args.next(), true);
            } else if variant == (Variant::Search { store: true }) && args.word("STOREDIST") {
                search.distances = true;
            } else if searching
                && (by_member || search.center.is_none())
                && args.word_with("FROMMEMBER", 1)
            {
                by_member = true;
                let member = args.bytes()?;
                if let Some(zset) = zset {
                    search.center = Some(place_of(zset, member)?);
                }
            } else if searching && !by_member && args.word_with("FROMLONLAT", 2) {
                search.center = Some(point(args)?);
            } else if searching
                && !matches!(search.shape, Some(Shape::Box { .. }))
                && args.word_with("BYRADIUS", 2)
            {
                search.shape = Some(circle(args)?);
            } else if searching
                && !matches!(search.shape, Some(Shape::Circle { .. }))
                && args.word_with("BYBOX", 3)
            {
                search.shape = Some(rectangle(args)?);
            } else {
                return Err(Error::Syntax);
            }
        }
        search.check(args, variant, by_member)?;
        Ok(search)
    }

    fn check(&self, args: &Args<'_>, variant: Variant, by_member: bool) -> Result {
        let stores = self.store.is_some() || variant == (Variant::Search { store: true });
        if stores && (self.with_distance || self.with_hash || self.with_place) {
            let what = match variant {
                Variant::Search { .. } => "GEOSEARCHSTORE",
                Variant::Radius { .. } => "STORE option in GEORADIUS",
            };
            return Err(Error::once(format!(
                "{what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            )));
        }
        if let Variant::Search { .. } = variant {
            let name = String::from_utf8_lossy(args.argv().get(0)).into_owned();
            if !by_member && self.center.is_none() {
                return Err(Error::once(format!(
                    "exactly one of FROMMEMBER or FROMLONLAT can be specified for {name}"
                )));
            }
            if self.shape.is_none() {
                return Err(Error::once(format!(
                    "exactly one of BYRADIUS and BYBOX can be specified for {name}"
                )));
            }
        }
        if self.any && self.count == 0 {
            return Err(Error::once("the ANY argument requires COUNT argument"));
        }
        Ok(())
    }

    /// The members within the shape, in the order asked for.
    #[doc(alias = "membersOfAllNeighbors")]
    fn run<'z>(&self, zset: &'z Zset, center: Point, shape: Shape) -> Vec<Found<'z>> {
        let enough = if self.any { self.count } else { usize::MAX };
        let mut found = Vec::new();
        'cells: for scores in shape.score_ranges(center) {
            let min = ScoreBound {
                score: scores.start,
                exclusive: false,
            };
            let max = ScoreBound {
                score: scores.end,
                exclusive: true,
            };
            for scored in zset.range(zset.score_range(min, max), Direction::Up) {
                let place = Point::from_score(scored.score);
                if let Some(distance) = shape.measure(center, place) {
                    found.push(Found {
                        member: scored.member,
                        place,
                        distance,
                        score: scored.score,
                    });
                    if found.len() >= enough {
                        break 'cells;
                    }
                }
            }
        }
        // COUNT without ANY and without an order means the nearest members.
        let nearest = (self.count > 0 && !self.any).then_some(Direction::Up);
        match self.order.or(nearest) {
            Some(Direction::Up) => found.sort_by(|a, b| a.distance.total_cmp(&b.distance)),
            Some(Direction::Down) => found.sort_by(|a, b| b.distance.total_cmp(&a.distance)),
            None => {}
        }
        if self.count > 0 {
            found.truncate(self.count);
        }
        found
    }
}

/// GEOSEARCH, GEORADIUS and their kin: finds the members within a circle or a box around a place or a member.
///
/// The result is answered, nearest first with ASC or a plain COUNT, otherwise in no promised order; or it is stored as
/// a sorted set whose scores are the places or, with STOREDIST, the distances. An empty result deletes the destination.
/// A centre given as a member that is missing is an error, a missing key is an empty result. Only the storing forms are
/// propagated, as they came.
#[doc(alias = "georadiusGeneric")]
fn search(ctx: &mut Ctx<'_>, mut args: Args<'_>, variant: Variant) -> Result {
    let destination = match variant {
        Variant::Search { store: true } => Some(args.key()?),
        _ => None,
    };
    let key = args.key()?;
    let zset = ctx.state.keyspace[ctx.db].get_as::<Zset>(key)?;
    let mut search = Search::take(&mut args, variant, zset)?;
    search.store = search.store.or(destination);
    let limits = zset::zset_limits(ctx.state);
    let event = match variant {
        Variant::Search { .. } => "geosearchstore",
        Variant::Radius { .. } => "georadiusstore",
    };
    let (Some(zset), Some(center), Some(shape)) = (zset, search.center, search.shape) else {
        ctx.missed(key);
        match search.store {
            Some(store) => store_result(ctx, store, Zset::building(limits), event, 1),
            None => ctx.reply.array(0),
        }
        return Ok(());
    };
    let unit = match shape {
        Shape::Circle { unit, .. } | Shape::Box { unit, .. } => unit,
    };
    let found = search.run(zset, center, shape);

    if let Some(store) = search.store {
        let mut result = Zset::building(limits);
        for found in &found {
            let score = if search.distances {
                found.distance / unit
            } else {
                found.score
            };
            let mut digits = IntBuf::new();
            result.push(found.member.as_bytes(&mut digits), score, limits);
        }
        let changes = found.len();
        store_result(ctx, store, result, event, changes);
        return Ok(());
    }
    let reply = &mut *ctx.reply;
    let extras = [search.with_distance, search.with_hash, search.with_place];
    let extras = extras.into_iter().filter(|extra| *extra).count();
    reply.array(found.len());
    for found in found {
        if extras > 0 {
            reply.array(1 + extras);
        }
        element(reply, found.member);
        if search.with_distance {
            let text = format_fixed(found.distance / unit, DISTANCE_DIGITS);
            reply.bulk(text.as_bytes());
        }
        if search.with_hash {
            reply.integer(found.score as i64);
        }
        if search.with_place {
            reply.array(2);
            reply.double(found.place.longitude());
            reply.double(found.place.latitude());
        }
    }
    Ok(())
}

const GEOSEARCH: Command = Command {
    name: "geosearch",
    arity: Arity::AtLeast(7),
    flags: &[ReadOnly],
    acl: &[Category::Geo],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[
        arg::key("key"),
        arg::one_of(
            "from",
            &[
                arg::string("member").token("FROMMEMBER"),
                arg::block(
                    "fromlonlat",
                    &[arg::double("longitude"), arg::double("latitude")],
                )
                .token("FROMLONLAT"),
            ],
        ),
        arg::one_of(
            "by",
            &[
                arg::block(
                    "circle",
                    &[
                        arg::double("radius").token("BYRADIUS"),
                        arg::one_of(
                            "unit",
                            &[
                                arg::word("m", "M"),
                                arg::word("km", "KM"),
                                arg::word("ft", "FT"),
                                arg::word("mi", "MI"),
                            ],
                        ),
                    ],
                ),
                arg::block(
                    "box",
                    &[
                        arg::double("width").token("BYBOX"),
                        arg::double("height"),
                        arg::one_of(
                            "unit",
                            &[
                                arg::word("m", "M"),
                                arg::word("km", "KM"),
                                arg::word("ft", "FT"),
                                arg::word("mi", "MI"),
                            ],
                        ),
                    ],
                ),
            ],
        ),
        arg::one_of(
            "order",
            &[arg::word("asc", "ASC"), arg::word("desc", "DESC")],
        )
        .optional(),
        arg::block(
            "count-block",
            &[
                arg::integer("count").token("COUNT"),
                arg::word("any", "ANY").optional(),
            ],
        )
        .optional(),
        arg::word("withcoord", "WITHCOORD").optional(),
        arg::word("withdist", "WITHDIST").optional(),
        arg::word("withhash", "WITHHASH").optional(),
    ],
    docs: Docs {
        group: Group::Geo,
        since: "6.2.0",
        complexity: "O(N+log(M)) where N is the number of members in the cells around the shape and M the number of members",
        summary: "Returns the places within a circle or a box.",
        ..Docs::BASE
    },
    run: geosearch,
    ..Command::BASE
};

#[doc(alias = "geosearchCommand")]
fn geosearch(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    search(ctx, args, Variant::Search { store: false })
}

const GEOSEARCHSTORE: Command = Command {
    name: "geosearchstore",
    arity: Arity::AtLeast(8),
    flags: &[Write, DenyOom],
    acl: &[Category::Geo],
    keys: &[KeySpec::at(1, &[Ow, Update]), KeySpec::at(2, &[Ro, Access])],
    args: &[
        arg::key("destination"),
        arg::key("source").spec(1),
        arg::one_of(
            "from",
            &[
                arg::string("member").token("FROMMEMBER"),
                arg::block(
                    "fromlonlat",
                    &[arg::double("longitude"), arg::double("latitude")],
                )
                .token("FROMLONLAT"),
            ],
        ),
        arg::one_of(
            "by",
            &[
                arg::block(
                    "circle",
                    &[
                        arg::double("radius").token("BYRADIUS"),
                        arg::one_of(
                            "unit",
                            &[
                                arg::word("m", "M"),
                                arg::word("km", "KM"),
                                arg::word("ft", "FT"),
                                arg::word("mi", "MI"),
                            ],
                        ),
                    ],
                ),
                arg::block(
                    "box",
                    &[
                        arg::double("width").token("BYBOX"),
                        arg::double("height"),
                        arg::one_of(
                            "unit",
                            &[
                                arg::word("m", "M"),
                                arg::word("km", "KM"),
                                arg::word("ft", "FT"),
                                arg::word("mi", "MI"),
                            ],
                        ),
                    ],
                ),
            ],
        ),
        arg::one_of(
            "order",
            &[arg::word("asc", "ASC"), arg::word("desc", "DESC")],
        )
        .optional(),
        arg::block(
            "count-block",
            &[
                arg::integer("count").token("COUNT"),
                arg::word("any", "ANY").optional(),
            ],
        )
        .optional(),
        arg::word("storedist", "STOREDIST").optional(),
    ],
    docs: Docs {
        group: Group::Geo,
        since: "6.2.0",
        complexity: "O(N+log(M)) where N is the number of members in the cells around the shape and M the number of members",
        summary: "Stores the places within a circle or a box.",
        ..Docs::BASE
    },
    run: geosearchstore,
    ..Command::BASE
};

#[doc(alias = "geosearchstoreCommand")]
fn geosearchstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    search(ctx, args, Variant::Search { store: true })
}

/// Finds the key that is read and the key of STORE or STOREDIST. The last of several counts, as when the command runs.
#[doc(alias = "georadiusGetKeys")]
fn georadius_keys(argv: Argv<'_>, found: &mut Vec<KeyRef>) -> Result {
    found.push(KeyRef {
        position: 1,
        flags: &[Ro, Access],
    });
    let mut store = None;
    let mut at = 5;
    while at + 1 < argv.len() {
        let word = argv.get(at);
        if word.eq_ignore_ascii_case(b"store") || word.eq_ignore_ascii_case(b"storedist") {
            at += 1;
            store = Some(at);
        }
        at += 1;
    }
    found.extend(store.map(|position| KeyRef {
        position,
        flags: &[Ow, Update],
    }));
    Ok(())
}

const GEORADIUS: Command = Command {
    name: "georadius",
    arity: Arity::AtLeast(6),
    flags: &[Write, DenyOom, MovableKeys],
    acl: &[Category::Geo],
    keys: &[
        KeySpec::at(1, &[Ro, Access]),
        KeySpec::after("STORE", 6, &[Ow, Update, Doubtful]),
        KeySpec::after("STOREDIST", 6, &[Ow, Update, Doubtful]),
    ],
    find_keys: Some(georadius_keys),
    args: &[
        arg::key("key"),
        arg::double("longitude"),
        arg::double("latitude"),
        arg::double("radius"),
        arg::one_of(
            "unit",
            &[
                arg::word("m", "M"),
                arg::word("km", "KM"),
                arg::word("ft", "FT"),
                arg::word("mi", "MI"),
            ],
        ),
        arg::word("withcoord", "WITHCOORD").optional(),
        arg::word("withdist", "WITHDIST").optional(),
        arg::word("withhash", "WITHHASH").optional(),
        arg::block(
            "count-block",
            &[
                arg::integer("count").token("COUNT"),
                arg::word("any", "ANY").optional().since("6.2.0"),
            ],
        )
        .optional(),
        arg::one_of(
            "order",
            &[arg::word("asc", "ASC"), arg::word("desc", "DESC")],
        )
        .optional(),
        arg::one_of(
            "store",
            &[
                arg::key("storekey").shown_as("key").spec(1).token("STORE"),
                arg::key("storedistkey").shown_as("key").spec(2).token("STOREDIST"),
            ],
        )
        .optional(),
    ],
    docs: Docs {
        group: Group::Geo,
        since: "3.2.0",
        complexity: "O(N+log(M)) where N is the number of members in the cells around the circle and M the number of members",
        summary: "Returns or stores the places around a point.",
        deprecated: Some((
            "6.2.0",
            "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument",
        )),
        ..Docs::BASE
    },
    run: georadius,
    ..Command::BASE
};

#[doc(alias = "georadiusCommand")]
fn georadius(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let variant = Variant::Radius {
        by_member: false,
        may_store: true,
    };
    search(ctx, args, variant)
}

const GEORADIUS_RO: Command = Command {
    name: "georadius_ro",
    arity: Arity::AtLeast(6),
    flags: &[ReadOnly],
    acl: &[Category::Geo],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[
        arg::key("key"),
        arg::double("longitude"),
        arg::double("latitude"),
        arg::double("radius"),
        arg::one_of(
            "unit",
            &[
                arg::word("m", "M"),
                arg::word("km", "KM"),
                arg::word("ft", "FT"),
                arg::word("mi", "MI"),
            ],
        ),
        arg::word("withcoord", "WITHCOORD").optional(),
        arg::word("withdist", "WITHDIST").optional(),
        arg::word("withhash", "WITHHASH").optional(),
        arg::block(
            "count-block",
            &[
                arg::integer("count").token("COUNT"),
                arg::word("any", "ANY").optional().since("6.2.0"),
            ],
        )
        .optional(),
        arg::one_of(
            "order",
            &[arg::word("asc", "ASC"), arg::word("desc", "DESC")],
        )
        .optional(),
    ],
    docs: Docs {
        group: Group::Geo,
        since: "3.2.10",
        complexity: "O(N+log(M)) where N is the number of members in the cells around the circle and M the number of members",
        summary: "Returns the places around a point.",
        deprecated: Some(("6.2.0", "`GEOSEARCH` with the `BYRADIUS` argument")),
        ..Docs::BASE
    },
    run: georadius_ro,
    ..Command::BASE
};

#[doc(alias = "georadiusroCommand")]
fn georadius_ro(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let variant = Variant::Radius {
        by_member: false,
        may_store: false,
    };
    search(ctx, args, variant)
}

const GEORADIUSBYMEMBER: Command = Command {
    name: "georadiusbymember",
    arity: Arity::AtLeast(5),
    flags: &[Write, DenyOom, MovableKeys],
    acl: &[Category::Geo],
    keys: &[
        KeySpec::at(1, &[Ro, Access]),
        KeySpec::after("STORE", 5, &[Ow, Update, Doubtful]),
        KeySpec::after("STOREDIST", 5, &[Ow, Update, Doubtful]),
    ],
    find_keys: Some(georadius_keys),
    args: &[
        arg::key("key"),
        arg::string("member"),
        arg::double("radius"),
        arg::one_of(
            "unit",
            &[
                arg::word("m", "M"),
                arg::word("km", "KM"),
                arg::word("ft", "FT"),
                arg::word("mi", "MI"),
            ],
        ),
        arg::word("withcoord", "WITHCOORD").optional(),
        arg::word("withdist", "WITHDIST").optional(),
        arg::word("withhash", "WITHHASH").optional(),
        arg::block(
            "count-block",
            &[
                arg::integer("count").token("COUNT"),
                arg::word("any", "ANY").optional(),
            ],
        )
        .optional(),
        arg::one_of(
            "order",
            &[arg::word("asc", "ASC"), arg::word("desc", "DESC")],
        )
        .optional(),
        arg::one_of(
            "store",
            &[
                arg::key("storekey").shown_as("key").spec(1).token("STORE"),
                arg::key("storedistkey").shown_as("key").spec(2).token("STOREDIST"),
            ],
        )
        .optional(),
    ],
    docs: Docs {
        group: Group::Geo,
        since: "3.2.0",
        complexity: "O(N+log(M)) where N is the number of members in the cells around the circle and M the number of members",
        summary: "Returns or stores the places around another one.",
        deprecated: Some((
            "6.2.0",
            "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments",
        )),
        ..Docs::BASE
    },
    run: georadiusbymember,
    ..Command::BASE
};

#[doc(alias = "georadiusbymemberCommand")]
fn georadiusbymember(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let variant = Variant::Radius {
        by_member: true,
        may_store: true,
    };
    search(ctx, args, variant)
}

const GEORADIUSBYMEMBER_RO: Command = Command {
    name: "georadiusbymember_ro",
    arity: Arity::AtLeast(5),
    flags: &[ReadOnly],
    acl: &[Category::Geo],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[
        arg::key("key"),
        arg::string("member"),
        arg::double("radius"),
        arg::one_of(
            "unit",
            &[
                arg::word("m", "M"),
                arg::word("km", "KM"),
                arg::word("ft", "FT"),
                arg::word("mi", "MI"),
            ],
        ),
        arg::word("withcoord", "WITHCOORD").optional(),
        arg::word("withdist", "WITHDIST").optional(),
        arg::word("withhash", "WITHHASH").optional(),
        arg::block(
            "count-block",
            &[
                arg::integer("count").token("COUNT"),
                arg::word("any", "ANY").optional(),
            ],
        )
        .optional(),
        arg::one_of(
            "order",
            &[arg::word("asc", "ASC"), arg::word("desc", "DESC")],
        )
        .optional(),
    ],
    docs: Docs {
        group: Group::Geo,
        since: "3.2.10",
        complexity: "O(N+log(M)) where N is the number of members in the cells around the circle and M the number of members",
        summary: "Returns the places around another one.",
        deprecated: Some((
            "6.2.0",
            "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments",
        )),
        ..Docs::BASE
    },
    run: georadiusbymember_ro,
    ..Command::BASE
};

#[doc(alias = "georadiusbymemberroCommand")]
fn georadiusbymember_ro(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let variant = Variant::Radius {
        by_member: true,
        may_store: false,
    };
    search(ctx, args, variant)
}
