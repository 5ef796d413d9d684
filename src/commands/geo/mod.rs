//! Places: GEOADD, GEOSEARCH and their kin.
//!
//! A place is the score of a member of a sorted set (`types/geohash.rs`): longitude and latitude as 26 bits each,
//! interleaved, so that places near one another mostly have scores near one another. A search is therefore a few ranges
//! of scores, each member of which is then measured.
//!
//! ```text
//!   GEOADD Sicily 13.361389 38.115556 Palermo    propagated as: zadd Sicily 3479099956230698 Palermo
//!
//!   place.rs     places by name              GEOADD GEOPOS GEOHASH GEODIST
//!   search.rs    places within a shape       GEOSEARCH GEOSEARCHSTORE
//!   radius.rs    the older forms of search   GEORADIUS GEORADIUSBYMEMBER, their _RO forms
//! ```
//!
//! Mirrors: geo.c; the arithmetic, geohash.c and geohash_helper.c.
//! Differs: members at the same distance are ordered by score.

mod place;
mod radius;
mod search;

use super::prelude::*;
use crate::command::Arg;
use crate::types::geohash::Point;

pub const COMMANDS: &[&Command] = &[
    &place::GEOADD,
    &place::GEODIST,
    &place::GEOHASH,
    &place::GEOPOS,
    &radius::GEORADIUS,
    &radius::GEORADIUSBYMEMBER,
    &radius::GEORADIUSBYMEMBER_RO,
    &radius::GEORADIUS_RO,
    &search::GEOSEARCH,
    &search::GEOSEARCHSTORE,
];

/// The number of digits after the point of a distance.
const DISTANCE_DIGITS: u32 = 4;

/// The units of length.
const UNIT: Arg = arg::one_of(
    "unit",
    &[
        arg::word("m", "M"),
        arg::word("km", "KM"),
        arg::word("ft", "FT"),
        arg::word("mi", "MI"),
    ],
);

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
