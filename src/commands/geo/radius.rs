//! The older forms of search: GEORADIUS, GEORADIUSBYMEMBER and their _RO forms, which cannot store.
//!
//! Mirrors: `georadiusCommand()` and its kin of geo.c.

use super::super::prelude::*;
use super::UNIT;
use super::search::{COUNT, ORDER, Variant, WITH_COORD, WITH_DIST, WITH_HASH, search};
use crate::command::{Arg, KeyRef};
use crate::resp::argv::Argv;

/// COUNT of the form by coordinates, whose ANY came later.
const COUNT_SINCE: Arg = arg::block(
    "count-block",
    &[
        arg::integer("count").token("COUNT"),
        arg::word("any", "ANY").optional().since("6.2.0"),
    ],
)
.optional();

const STORE: Arg = arg::one_of(
    "store",
    &[
        arg::key("storekey").shown_as("key").spec(1).token("STORE"),
        arg::key("storedistkey")
            .shown_as("key")
            .spec(2)
            .token("STOREDIST"),
    ],
)
.optional();

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

pub(super) const GEORADIUS: Command = Command {
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
        UNIT,
        WITH_COORD,
        WITH_DIST,
        WITH_HASH,
        COUNT_SINCE,
        ORDER,
        STORE,
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

pub(super) const GEORADIUS_RO: Command = Command {
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
        UNIT,
        WITH_COORD,
        WITH_DIST,
        WITH_HASH,
        COUNT_SINCE,
        ORDER,
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

pub(super) const GEORADIUSBYMEMBER: Command = Command {
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
        UNIT,
        WITH_COORD,
        WITH_DIST,
        WITH_HASH,
        COUNT,
        ORDER,
        STORE,
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

pub(super) const GEORADIUSBYMEMBER_RO: Command = Command {
    name: "georadiusbymember_ro",
    arity: Arity::AtLeast(5),
    flags: &[ReadOnly],
    acl: &[Category::Geo],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[
        arg::key("key"),
        arg::string("member"),
        arg::double("radius"),
        UNIT,
        WITH_COORD,
        WITH_DIST,
        WITH_HASH,
        COUNT,
        ORDER,
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
