//! Places as scores of a sorted set: 52 bits that interleave longitude and latitude.
//!
//! The map is halved 26 times each way, and each halving gives a bit. Interleaved, places in one cell of any
//! grid share their first bits, so a cell is a range of scores, and a search reads at most nine ranges:
//!
//! ```text
//!   ┌────┬────┬────┐      a grid so coarse that a cell is at least as large as the searched radius;
//!   │ nw │ n  │ ne │      the cell of the centre and its eight neighbours cover the circle,
//!   ├────┼──╭─┼─╮──┤      then each member found is measured
//!   │ w  │  │*│ │e │
//!   ├────┼──╰─┼─╯──┤      score  = lat₂₅ lon₂₅ … lat₁ lon₁ lat₀ lon₀, longitude in the odd bits
//!   │ sw │ s  │ se │
//!   └────┴────┴────┘
//! ```
//!
//! For example, Palermo (13.361389, 38.115556) has the score 3479099956230698 and Catania (15.087269, 37.502669) has
//! 3479447370796909: both lie in Sicily, so their scores begin with the same bits.
//!
//! Invariant: a `Cell` of step n has 2n bits; step is 1 to 26.
//!
//! Mirrors: geohash.c, geohash_helper.c and the pure parts of geo.c: the same cells in the same order and
//! the same arithmetic, so that distances agree to the last digit.

use std::ops::Range;

/// The mean radius of the earth Redis calculates with, in metres.
#[doc(alias = "EARTH_RADIUS_IN_METERS")]
pub const EARTH_RADIUS_M: f64 = 6_372_797.560856;

/// Halvings each way of a full score.
#[doc(alias = "GEO_STEP_MAX")]
const STEP_MAX: u32 = 26;

/// Half the circumference in the Mercator projection, in metres.
const MERCATOR_MAX: f64 = 20_037_726.37;

const LONGITUDES: Span = Span {
    min: -180.0,
    max: 180.0,
};
/// The square of the Mercator map (EPSG:3857) leaves the poles out.
const LATITUDES: Span = Span {
    min: -85.05112878,
    max: 85.05112878,
};

/// A stretch of longitude or latitude, in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Span {
    min: f64,
    max: f64,
}

impl Span {
    fn contains(self, degrees: f64) -> bool {
        (self.min..=self.max).contains(&degrees)
    }

    /// Where `degrees` lies, in units of 2^-step of the span.
    fn index(self, degrees: f64, step: u32) -> u32 {
        ((degrees - self.min) / (self.max - self.min) * (1u64 << step) as f64) as u32
    }

    /// The lower edge of a unit.
    fn edge(self, index: u32, step: u32) -> f64 {
        self.min + (f64::from(index) / (1u64 << step) as f64) * (self.max - self.min)
    }
}

/// A place on earth, in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    longitude: f64,
    latitude: f64,
}

impl Point {
    /// `None` outside ±180 and ±85.05112878 degrees (and for NaN).
    pub fn new(longitude: f64, latitude: f64) -> Option<Self> {
        (LONGITUDES.contains(longitude) && LATITUDES.contains(latitude)).then_some(Point {
            longitude,
            latitude,
        })
    }

    /// Degrees east, -180 to 180.
    pub fn longitude(self) -> f64 {
        self.longitude
    }

    /// Degrees north, -85.05112878 to 85.05112878.
    pub fn latitude(self) -> f64 {
        self.latitude
    }

    /// The place a score stands for: the middle of its cell. Any score is some place.
    #[doc(alias = "decodeGeohash")]
    pub fn from_score(score: f64) -> Self {
        const TOO_LARGE: f64 = 18_446_744_073_709_551_616.0;
        // A score that is no place becomes one the way C makes a negative or too large number unsigned.
        let bits = match score {
            ..0.0 => score as i64 as u64,
            TOO_LARGE.. => 0,
            _ => score as u64,
        };
        let cell = Cell {
            bits,
            step: STEP_MAX,
        };
        let area = cell.area();
        let middle =
            |span: Span, limits: Span| ((span.min + span.max) / 2.0).clamp(limits.min, limits.max);
        Point {
            longitude: middle(area.longitude, LONGITUDES),
            latitude: middle(area.latitude, LATITUDES),
        }
    }

    /// The score that stands for this place, within 0.6 m. (On the upper edges of the map it has a 53rd and
    /// 54th bit, and is rounded as a float is.)
    #[doc(alias = "geohashEncodeWGS84")]
    pub fn score(self) -> f64 {
        Cell::around(self, STEP_MAX).bits as f64
    }

    /// The 11 characters other software knows a place by; the last one is always `0`, for 52 bits make ten.
    #[doc(alias = "geohashCommand")]
    pub fn geohash(self) -> [u8; 11] {
        const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        // The standard halves the whole latitude, not just what the Mercator map shows.
        let latitudes = Span {
            min: -90.0,
            max: 90.0,
        };
        let bits = interleave(
            latitudes.index(self.latitude, STEP_MAX),
            LONGITUDES.index(self.longitude, STEP_MAX),
        );
        std::array::from_fn(|index| match index {
            10 => b'0',
            _ => ALPHABET[(bits >> (52 - 5 * (index + 1)) & 31) as usize],
        })
    }

    /// The great-circle distance in metres (haversine).
    #[doc(alias = "geohashGetDistance")]
    pub fn distance(self, other: Point) -> f64 {
        let v = ((radians(other.longitude) - radians(self.longitude)) / 2.0).sin();
        if v == 0.0 {
            return self.latitude_distance(other);
        }
        let (latitude1, latitude2) = (radians(self.latitude), radians(other.latitude));
        let u = ((latitude2 - latitude1) / 2.0).sin();
        let a = u * u + latitude1.cos() * latitude2.cos() * v * v;
        2.0 * EARTH_RADIUS_M * a.sqrt().asin()
    }

    /// The distance north to south only.
    #[doc(alias = "geohashGetLatDistance")]
    fn latitude_distance(self, other: Point) -> f64 {
        EARTH_RADIUS_M * (radians(other.latitude) - radians(self.latitude)).abs()
    }
}

/// Not `to_radians`, which may round another way than C's product.
fn radians(degrees: f64) -> f64 {
    degrees * (std::f64::consts::PI / 180.0)
}

fn degrees(radians: f64) -> f64 {
    radians / (std::f64::consts::PI / 180.0)
}

/// The bits of `even` and `odd`, in turn, `even` lowest.
#[doc(alias = "interleave64")]
fn interleave(even: u32, odd: u32) -> u64 {
    spread(even) | spread(odd) << 1
}

/// Moves bit n to bit 2n.
fn spread(bits: u32) -> u64 {
    let mut x = u64::from(bits);
    x = (x | x << 16) & 0x0000_ffff_0000_ffff;
    x = (x | x << 8) & 0x00ff_00ff_00ff_00ff;
    x = (x | x << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    x = (x | x << 2) & 0x3333_3333_3333_3333;
    (x | x << 1) & EVEN
}

/// Moves bit 2n to bit n.
fn gather(bits: u64) -> u32 {
    let mut x = bits & EVEN;
    x = (x | x >> 1) & 0x3333_3333_3333_3333;
    x = (x | x >> 2) & 0x0f0f_0f0f_0f0f_0f0f;
    x = (x | x >> 4) & 0x00ff_00ff_00ff_00ff;
    x = (x | x >> 8) & 0x0000_ffff_0000_ffff;
    (x | x >> 16) as u32
}

const EVEN: u64 = 0x5555_5555_5555_5555;
const ODD: u64 = !EVEN;

/// A cell of the grid with 2^step columns and rows.
#[doc(alias = "GeoHashBits")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cell {
    bits: u64,
    step: u32,
}

/// The area a cell covers.
#[doc(alias = "GeoHashArea")]
#[derive(Debug, Clone, Copy, PartialEq)]
struct Area {
    longitude: Span,
    latitude: Span,
}

impl Cell {
    /// The cell a place lies in.
    #[doc(alias = "geohashEncode")]
    fn around(point: Point, step: u32) -> Self {
        let latitude = LATITUDES.index(point.latitude, step);
        let longitude = LONGITUDES.index(point.longitude, step);
        Cell {
            bits: interleave(latitude, longitude),
            step,
        }
    }

    /// Its edges.
    #[doc(alias = "geohashDecode")]
    fn area(self) -> Area {
        let (latitude, longitude) = (gather(self.bits), gather(self.bits >> 1));
        let span = |limits: Span, index: u32| Span {
            min: limits.edge(index, self.step),
            max: limits.edge(index.wrapping_add(1), self.step),
        };
        Area {
            longitude: span(LONGITUDES, longitude),
            latitude: span(LATITUDES, latitude),
        }
    }

    /// The scores of all places in it: from, and below.
    #[doc(alias = "scoresOfGeoHashBox")]
    fn scores(self) -> Range<f64> {
        let align = 52 - 2 * self.step;
        (self.bits << align) as f64..((self.bits + 1) << align) as f64
    }

    /// The cell so many columns east and rows north (each -1, 0 or 1), around the edges of the map.
    #[doc(alias = "geohash_move_x")]
    #[doc(alias = "geohash_move_y")]
    fn neighbour(self, east: i32, north: i32) -> Self {
        let within = u64::MAX >> (64 - 2 * self.step);
        // With the other coordinate's bits all set a carry runs through them, all clear a borrow does.
        let shift = |own: u64, direction: i32, lowest: u64| {
            let (own_bits, gaps) = (self.bits & own, !own & within);
            match direction {
                1 => (own_bits | gaps).wrapping_add(lowest) & own & within,
                -1 => own_bits.wrapping_sub(lowest) & own & within,
                _ => own_bits,
            }
        };
        Cell {
            bits: shift(ODD, east, 2) | shift(EVEN, north, 1),
            step: self.step,
        }
    }
}

/// The shape GEOSEARCH looks for around a centre. `unit` is the metres in one of the lengths given, 1000 for `km`:
/// Redis multiplies late, and so do we, for the same last digits.
#[doc(alias = "GeoShape")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    Circle { radius: f64, unit: f64 },
    Box { width: f64, height: f64, unit: f64 },
}

impl Shape {
    /// The distance from the centre in metres, if `point` lies within the shape around it.
    #[doc(alias = "geoWithinShape")]
    pub fn measure(self, center: Point, point: Point) -> Option<f64> {
        match self {
            Shape::Circle { radius, unit } => {
                let distance = center.distance(point);
                (distance <= radius * unit).then_some(distance)
            }
            Shape::Box {
                width,
                height,
                unit,
            } => {
                // The cheaper measure first.
                if point.latitude_distance(center) > height * unit / 2.0 {
                    return None;
                }
                let east = Point {
                    latitude: point.latitude,
                    ..center
                };
                if point.distance(east) > width * unit / 2.0 {
                    return None;
                }
                Some(center.distance(point))
            }
        }
    }

    /// The distance from the centre to the farthest point, in metres.
    fn reach(self) -> f64 {
        match self {
            Shape::Circle { radius, unit } => radius * unit,
            Shape::Box {
                width,
                height,
                unit,
            } => ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt() * unit,
        }
    }

    /// The degrees it stretches over: longer the nearer to a pole, so the nearer edge decides.
    #[doc(alias = "geohashBoundingBox")]
    fn bounds(self, center: Point) -> Area {
        let (half_width, half_height) = match self {
            Shape::Circle { radius, unit } => (unit * radius, unit * radius),
            Shape::Box {
                width,
                height,
                unit,
            } => (unit * (width / 2.0), unit * (height / 2.0)),
        };
        let high = degrees(half_height / EARTH_RADIUS_M);
        let nearer = match center.latitude < 0.0 {
            true => center.latitude - high,
            false => center.latitude + high,
        };
        let wide = degrees(half_width / EARTH_RADIUS_M / radians(nearer).cos());
        Area {
            longitude: Span {
                min: center.longitude - wide,
                max: center.longitude + wide,
            },
            latitude: Span {
                min: center.latitude - high,
                max: center.latitude + high,
            },
        }
    }

    /// The ranges of scores to read, nine at most, in the order Redis reads them: an unsorted GEOSEARCH shows it.
    /// Members in these ranges must still be [measured](Shape::measure).
    #[doc(alias = "geohashCalculateAreasByShapeWGS84")]
    #[doc(alias = "membersOfAllNeighbors")]
    pub fn score_ranges(self, center: Point) -> Vec<Range<f64>> {
        let bounds = self.bounds(center);
        let mut step = estimate_step(self.reach(), center.latitude);
        if step > 1 && !neighbours_cover(Cell::around(center, step), bounds) {
            step -= 1;
        }
        let cell = Cell::around(center, step);
        let area = cell.area();

        // Where the centre's cell alone reaches beyond the shape, the neighbours on that side are not read.
        let narrow = step >= 2;
        let skip_north = narrow && area.latitude.max > bounds.latitude.max;
        let skip_south = narrow && area.latitude.min < bounds.latitude.min;
        let skip_east = narrow && area.longitude.max > bounds.longitude.max;
        let skip_west = narrow && area.longitude.min < bounds.longitude.min;
        const ORDER: [(i32, i32); 9] = [
            (0, 0),
            (0, 1),
            (0, -1),
            (1, 0),
            (-1, 0),
            (1, 1),
            (-1, 1),
            (1, -1),
            (-1, -1),
        ];
        let mut cells: Vec<Cell> = Vec::with_capacity(ORDER.len());
        for (east, north) in ORDER {
            let skipped = (skip_north && north == 1)
                || (skip_south && north == -1)
                || (skip_east && east == 1)
                || (skip_west && east == -1);
            let next = cell.neighbour(east, north);
            // On a coarse grid the neighbours on both sides are one. As in Redis only the one before is
            // compared, and the centre's never.
            let repeated = cells.len() > 1 && cells.last() == Some(&next);
            if !skipped && !repeated {
                cells.push(next);
            }
        }
        cells.into_iter().map(Cell::scores).collect()
    }
}

/// The finest grid whose cells are larger than the radius; coarser towards the poles, where they narrow.
#[doc(alias = "geohashEstimateStepsByRadius")]
fn estimate_step(mut radius_m: f64, latitude: f64) -> u32 {
    if radius_m == 0.0 {
        return STEP_MAX;
    }
    let mut step = 1i32;
    while radius_m < MERCATOR_MAX {
        radius_m *= 2.0;
        step += 1;
    }
    step -= 2;
    if latitude.abs() > 66.0 {
        step -= 1;
        if latitude.abs() > 80.0 {
            step -= 1;
        }
    }
    step.clamp(1, STEP_MAX as i32) as u32
}

/// Do the cells next to this one reach as far as the bounds do, on all four sides?
fn neighbours_cover(cell: Cell, bounds: Area) -> bool {
    let north = cell.neighbour(0, 1).area().latitude.max;
    let south = cell.neighbour(0, -1).area().latitude.min;
    let east = cell.neighbour(1, 0).area().longitude.max;
    let west = cell.neighbour(-1, 0).area().longitude.min;
    let short = north < bounds.latitude.max
        || south > bounds.latitude.min
        || east < bounds.longitude.max
        || west > bounds.longitude.min;
    !short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::long_double::LongDouble;
    use crate::util::num::format_fixed;
    use crate::util::rng::Rng;

    fn point(longitude: f64, latitude: f64) -> Point {
        Point::new(longitude, latitude).expect("on the map")
    }

    /// The example of Redis's documentation, with the replies of a real server.
    #[test]
    fn sicily() {
        let (palermo, catania) = (point(13.361389, 38.115556), point(15.087269, 37.502669));
        assert_eq!(
            (palermo.score(), catania.score()),
            (3479099956230698.0, 3479447370796909.0)
        );
        let told = Point::from_score(palermo.score());
        let shown = [told.longitude(), told.latitude()]
            .map(|degrees| LongDouble::from_f64(degrees).map(|d| d.format()));
        assert_eq!(
            shown,
            ["13.36138933897018433", "38.11555639549629859"].map(|text| Some(text.to_owned()))
        );
        assert_eq!(&told.geohash(), b"sqc8b49rny0");
        let other = Point::from_score(catania.score());
        assert_eq!(&other.geohash(), b"sqdtr74hyu0");
        assert_eq!(format_fixed(told.distance(other), 4), "166274.1516");
        let (center, circle) = (
            point(15.0, 37.0),
            Shape::Circle {
                radius: 200.0,
                unit: 1000.0,
            },
        );
        let found = [told, other]
            .map(|place| format_fixed(circle.measure(center, place).unwrap_or(-1.0) / 1000.0, 4));
        assert_eq!(found, ["190.4424", "56.4413"]);
        let square = Shape::Box {
            width: 400.0,
            height: 200.0,
            unit: 1000.0,
        };
        assert_eq!(
            (
                square.measure(center, told),
                square.measure(center, other).is_some()
            ),
            (None, true)
        );
    }

    #[test]
    fn off_the_map() {
        for (longitude, latitude) in [
            (180.1, 0.0),
            (-180.1, 0.0),
            (0.0, 85.1),
            (0.0, -85.1),
            (f64::NAN, 0.0),
        ] {
            assert_eq!(Point::new(longitude, latitude), None);
        }
        for score in [
            0.0,
            -1.0,
            1e300,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
            4503599627370496.0,
        ] {
            let place = Point::from_score(score);
            assert!(Point::new(place.longitude(), place.latitude()).is_some());
            let _ = (place.geohash(), place.score());
        }
    }

    fn random_point(rng: &mut Rng) -> Point {
        let clamped = |unit: f64, limits: Span| {
            (unit * 2.1 * limits.max + limits.min).clamp(limits.min, limits.max)
        };
        point(
            clamped(rng.unit(), LONGITUDES),
            clamped(rng.unit(), LATITUDES),
        )
    }

    #[test]
    fn places_survive_their_score() {
        let mut rng = Rng::new(1);
        for _ in 0..20_000 {
            let place = random_point(&mut rng);
            let back = Point::from_score(place.score());
            assert!(place.distance(back) < 0.7);
            assert_eq!(back.score(), Point::from_score(back.score()).score());
            assert_eq!(place.distance(place), 0.0);
            let (even, odd) = (rng.next_u64() as u32, rng.next_u64() as u32);
            assert_eq!(gather(interleave(even, odd)), even);
            assert_eq!(gather(interleave(even, odd) >> 1), odd);
        }
    }

    #[test]
    fn neighbours_touch() {
        let mut rng = Rng::new(2);
        for _ in 0..5_000 {
            let step = 2 + rng.below(25) as u32;
            let cell = Cell::around(
                point(rng.unit() * 300.0 - 150.0, rng.unit() * 120.0 - 60.0),
                step,
            );
            let here = cell.area();
            assert_eq!(cell.neighbour(1, 0).neighbour(-1, 0), cell);
            assert_eq!(cell.neighbour(0, 1).neighbour(0, -1), cell);
            assert_eq!(cell.neighbour(1, -1), cell.neighbour(1, 0).neighbour(0, -1));
            if step > 4 {
                assert_eq!(
                    cell.neighbour(1, 0).area().longitude.min,
                    here.longitude.max
                );
                assert_eq!(cell.neighbour(0, 1).area().latitude.min, here.latitude.max);
                assert_eq!(cell.neighbour(-1, 0).area().latitude, here.latitude);
            }
        }
        let edge = Cell::around(point(-180.0, 0.0), 5);
        assert_eq!(edge.neighbour(-1, 0).area().longitude.max, 180.0);
    }

    /// A search by ranges finds the same members as a look at all of them, away from the map's edges (where Redis, too,
    /// does not look around the corner).
    #[test]
    fn searches_miss_nothing() {
        let mut rng = Rng::new(3);
        for round in 0..300 {
            let center = point(rng.unit() * 200.0 - 100.0, rng.unit() * 100.0 - 50.0);
            let reach = 10f64.powf(rng.unit() * 6.0);
            let shape = match round % 2 {
                0 => Shape::Circle {
                    radius: reach,
                    unit: 1.0,
                },
                _ => Shape::Box {
                    width: reach,
                    height: reach * rng.unit(),
                    unit: 1.0,
                },
            };
            let ranges = shape.score_ranges(center);
            assert!(!ranges.is_empty() && ranges.len() <= 9);
            for _ in 0..200 {
                let spread = reach / 80_000.0;
                let longitude = center.longitude + (rng.unit() - 0.5) * spread;
                let latitude = center.latitude + (rng.unit() - 0.5) * spread;
                let Some(place) = Point::new(longitude, latitude) else {
                    continue;
                };
                let place = Point::from_score(place.score());
                if shape.measure(center, place).is_some() {
                    assert!(
                        ranges.iter().any(|range| range.contains(&place.score())),
                        "{center:?} {shape:?} {place:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn any_shape_is_answered() {
        let mut rng = Rng::new(4);
        for size in [0.0, 5e-324, 1.0, 1e7, 1e300, f64::MAX, f64::INFINITY] {
            for _ in 0..200 {
                let center = random_point(&mut rng);
                let shapes = [
                    Shape::Circle {
                        radius: size,
                        unit: 1609.34,
                    },
                    Shape::Box {
                        width: size,
                        height: 0.0,
                        unit: 1.0,
                    },
                    Shape::Box {
                        width: 0.0,
                        height: size,
                        unit: 1000.0,
                    },
                ];
                for shape in shapes {
                    assert!((1..=9).contains(&shape.score_ranges(center).len()));
                    let _ = shape.measure(center, random_point(&mut rng));
                }
            }
        }
    }
}
