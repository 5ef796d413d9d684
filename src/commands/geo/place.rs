//! Places by name: GEOADD stores them, GEOPOS, GEOHASH and GEODIST answer from their scores.
//!
//! Mirrors: `geoaddCommand()`, `geohashCommand()`, `geoposCommand()` and `geodistCommand()` of geo.c.

use super::super::prelude::*;
use super::super::zset::add_all;
use super::{DISTANCE_DIGITS, UNIT, point, unit};
use crate::types::geohash::Point;
use crate::types::zset::{Conditions, Zset};
use crate::util::num::format_fixed;

pub(super) const GEOADD: Command = Command {
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

pub(super) const GEOPOS: Command = Command {
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

pub(super) const GEOHASH: Command = Command {
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

pub(super) const GEODIST: Command = Command {
    name: "geodist",
    arity: Arity::AtLeast(4),
    flags: &[ReadOnly],
    acl: &[Category::Geo],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[
        arg::key("key"),
        arg::string("member1"),
        arg::string("member2"),
        UNIT.optional(),
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
