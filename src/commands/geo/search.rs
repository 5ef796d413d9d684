//! Places within a circle or a box: the search that all forms share, GEOSEARCH and GEOSEARCHSTORE.
//!
//! ```text
//!   GEOSEARCH Sicily FROMLONLAT 15 37 BYRADIUS 200 km
//!     circle  ->  up to nine ranges of scores (the cell of the centre and its neighbours)
//!             ->  each member in them, measured; those too far away are dropped
//!             ->  ordered and cut as COUNT, ASC and DESC say
//! ```
//!
//! Mirrors: `georadiusGeneric()` of geo.c.

use super::super::lookup::element;
use super::super::prelude::*;
use super::super::zset::{self, store_result};
use super::{DISTANCE_DIGITS, UNIT, point, unit};
use crate::collections::listpack::LpEntry;
use crate::command::Arg;
use crate::resp::Reply;
use crate::types::geohash::{Point, Shape};
use crate::types::zset::{Direction, ScoreBound, Zset};
use crate::util::num::{IntBuf, format_fixed};

// ---- Arguments that several forms declare ---------------------------------------------------------

const FROM: Arg = arg::one_of(
    "from",
    &[
        arg::string("member").token("FROMMEMBER"),
        arg::block(
            "fromlonlat",
            &[arg::double("longitude"), arg::double("latitude")],
        )
        .token("FROMLONLAT"),
    ],
);

const BY: Arg = arg::one_of(
    "by",
    &[
        arg::block("circle", &[arg::double("radius").token("BYRADIUS"), UNIT]),
        arg::block(
            "box",
            &[
                arg::double("width").token("BYBOX"),
                arg::double("height"),
                UNIT,
            ],
        ),
    ],
);

pub(super) const ORDER: Arg = arg::one_of(
    "order",
    &[arg::word("asc", "ASC"), arg::word("desc", "DESC")],
)
.optional();

pub(super) const COUNT: Arg = arg::block(
    "count-block",
    &[
        arg::integer("count").token("COUNT"),
        arg::word("any", "ANY").optional(),
    ],
)
.optional();

pub(super) const WITH_COORD: Arg = arg::word("withcoord", "WITHCOORD").optional();
pub(super) const WITH_DIST: Arg = arg::word("withdist", "WITHDIST").optional();
pub(super) const WITH_HASH: Arg = arg::word("withhash", "WITHHASH").optional();

// ---- The search ----------------------------------------------------------------------------------

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

/// The command that searches.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Variant {
    /// GEORADIUS, or GEORADIUSBYMEMBER; whether it may store.
    Radius { by_member: bool, may_store: bool },
    /// GEOSEARCH, or GEOSEARCHSTORE.
    Search { store: bool },
}

/// The arguments of a search: what is searched for, and the form of the answer.
#[derive(Default)]
struct Search<'a> {
    center: Option<Point>,
    /// FROMMEMBER: the centre is a member's place, which is unknown if the key is missing.
    from_member: bool,
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
        if let Variant::Radius { by_member, .. } = variant {
            search.take_circle(args, by_member, zset)?;
        }
        while !args.is_empty() {
            let known = search.take_form(args)?
                || search.take_store(args, variant)
                || matches!(variant, Variant::Search { .. }) && search.take_area(args, zset)?;
            if !known {
                return Err(Error::Syntax);
            }
        }
        search.check(args, variant)?;
        Ok(search)
    }

    /// Takes the centre and the radius that GEORADIUS begins with.
    fn take_circle(&mut self, args: &mut Args<'a>, by_member: bool, zset: Option<&Zset>) -> Result {
        self.center = Some(match (by_member, zset) {
            (false, _) => point(args)?,
            (true, Some(zset)) => place_of(zset, args.bytes()?)?,
            (true, None) => {
                Args::take(args, 3)?;
                return Ok(());
            }
        });
        self.shape = Some(circle(args)?);
        Ok(())
    }

    /// Takes an option about the answer: its columns, its order, its length. Returns whether there was one.
    fn take_form(&mut self, args: &mut Args<'a>) -> Result<bool> {
        if args.word("WITHDIST") {
            self.with_distance = true;
        } else if args.word("WITHHASH") {
            self.with_hash = true;
        } else if args.word("WITHCOORD") {
            self.with_place = true;
        } else if args.word("ANY") {
            self.any = true;
        } else if args.word("ASC") {
            self.order = Some(Direction::Up);
        } else if args.word("DESC") {
            self.order = Some(Direction::Down);
        } else if args.word_with("COUNT", 1) {
            let count = args.integer()?;
            if count <= 0 {
                return Err(Error::once("COUNT must be > 0"));
            }
            self.count = usize::try_from(count).unwrap_or(usize::MAX);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Takes STORE or STOREDIST, if the command knows it. Returns whether there was one.
    fn take_store(&mut self, args: &mut Args<'a>, variant: Variant) -> bool {
        match variant {
            Variant::Radius {
                may_store: true, ..
            } => {
                if args.word_with("STORE", 1) {
                    (self.store, self.distances) = (args.next(), false);
                } else if args.word_with("STOREDIST", 1) {
                    (self.store, self.distances) = (args.next(), true);
                } else {
                    return false;
                }
                true
            }
            Variant::Search { store: true } if args.word("STOREDIST") => {
                self.distances = true;
                true
            }
            _ => false,
        }
    }

    /// Takes the centre or the shape of GEOSEARCH. Returns whether there was one. A second one is taken only if it is of
    /// the same kind; the last one counts.
    fn take_area(&mut self, args: &mut Args<'a>, zset: Option<&Zset>) -> Result<bool> {
        let is_box = matches!(self.shape, Some(Shape::Box { .. }));
        let is_circle = matches!(self.shape, Some(Shape::Circle { .. }));
        if (self.from_member || self.center.is_none()) && args.word_with("FROMMEMBER", 1) {
            self.from_member = true;
            let member = args.bytes()?;
            if let Some(zset) = zset {
                self.center = Some(place_of(zset, member)?);
            }
        } else if !self.from_member && args.word_with("FROMLONLAT", 2) {
            self.center = Some(point(args)?);
        } else if !is_box && args.word_with("BYRADIUS", 2) {
            self.shape = Some(circle(args)?);
        } else if !is_circle && args.word_with("BYBOX", 3) {
            self.shape = Some(rectangle(args)?);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn check(&self, args: &Args<'_>, variant: Variant) -> Result {
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
            if !self.from_member && self.center.is_none() {
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
pub(super) fn search(ctx: &mut Ctx<'_>, mut args: Args<'_>, variant: Variant) -> Result {
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
    answer(ctx.reply, &search, found, unit);
    Ok(())
}

/// Writes the members that were found, each with the columns asked for.
fn answer(reply: &mut Reply, search: &Search<'_>, found: Vec<Found<'_>>, unit: f64) {
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
}

// ---- The commands --------------------------------------------------------------------------------

pub(super) const GEOSEARCH: Command = Command {
    name: "geosearch",
    arity: Arity::AtLeast(7),
    flags: &[ReadOnly],
    acl: &[Category::Geo],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[
        arg::key("key"),
        FROM,
        BY,
        ORDER,
        COUNT,
        WITH_COORD,
        WITH_DIST,
        WITH_HASH,
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

pub(super) const GEOSEARCHSTORE: Command = Command {
    name: "geosearchstore",
    arity: Arity::AtLeast(8),
    flags: &[Write, DenyOom],
    acl: &[Category::Geo],
    keys: &[KeySpec::at(1, &[Ow, Update]), KeySpec::at(2, &[Ro, Access])],
    args: &[
        arg::key("destination"),
        arg::key("source").spec(1),
        FROM,
        BY,
        ORDER,
        COUNT,
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
