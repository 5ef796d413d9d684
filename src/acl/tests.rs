//! Rules of users: applied, shown, read back, and checked against requests.

use super::*;
use crate::command::table::CommandTable;
use crate::commands::GROUPS;
use crate::util::rng::Rng;

fn table() -> CommandTable {
    crate::command::table::CommandTable::new(GROUPS)
}

fn vocabulary(commands: &CommandTable) -> Vocabulary<'_> {
    Vocabulary {
        commands,
        all_channels: false,
    }
}

/// A user made by rules, which must all be good.
fn user(commands: &CommandTable, rules: &str) -> User {
    let mut user = User::new(b"u", vocabulary(commands));
    let words: Vec<&[u8]> = rules.split(' ').map(str::as_bytes).collect();
    for rule in merge_selectors(&words).expect("closed") {
        let shown = String::from_utf8_lossy(&rule).into_owned();
        let applied = user.apply(&rule, vocabulary(commands));
        applied.unwrap_or_else(|error| panic!("{shown}: {error}"));
    }
    user
}

fn wrong(rule: &str) -> RuleError {
    let commands = table();
    let mut user = User::new(b"u", vocabulary(&commands));
    user.apply(rule.as_bytes(), vocabulary(&commands))
        .expect_err("not a rule")
}

fn shown(user: &User) -> String {
    String::from_utf8(user.line()).expect("text")
}

fn check(commands: &CommandTable, user: &User, request: &str) -> Result<(), (Reason, usize)> {
    let argv = crate::resp::argv::OwnedArgv::from_words(request.split(' '));
    let id = commands.lookup(argv.as_argv()).expect("it exists");
    let asked = Asked {
        commands,
        id,
        argv: argv.as_argv(),
    };
    user.check(asked).map_err(|d| (d.reason, d.position))
}

#[test]
fn rules_are_shown_in_order_and_once() {
    let commands = table();
    let of = |rules: &str| {
        let user = user(&commands, rules);
        String::from_utf8(user.root().show_commands()).expect("text")
    };
    assert_eq!(of("+@all -@hash -@slow +hget"), "+@all -@hash -@slow +hget");
    assert_eq!(of("-@all +@HASH +@hash"), "-@all +@hash");
    assert_eq!(of("+get -@all"), "-@all");
    assert_eq!(
        of("+client|list +config|get +config -client"),
        "-@all +config -client"
    );
    assert_eq!(
        of("+select|0 +SELECT|0 +select|1"),
        "-@all +select|0 +select|1"
    );
    assert_eq!(of("+select|0 -select"), "-@all -select");
}

#[test]
fn a_shown_user_is_the_same_user() {
    let commands = table();
    let rules: Vec<&str> = "on off nopass >secret <secret reset allkeys resetkeys ~a* %R~b %W~b %RW~c \
        allchannels resetchannels &x &y* +@all -@all +get -get +@read -@write +config|get -config|set \
        +config -config +select|0 +debug|object -debug (+@all&~a*&%R~b) (-@all&+set&+select|1) \
        ~a\"b (~a\\\"b&+get) ~a) clearselectors skip-sanitize-payload"
        .split_whitespace()
        .collect();
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let mut made = User::new(b"u", vocabulary(&commands));
        for _ in 0..rng.below(12) {
            let rule = rules[rng.below(rules.len() as u64) as usize].replace(")&", ") ");
            let rule = match rule.starts_with('(') {
                true => rule.replace('&', " "),
                false => rule,
            };
            // A refused rule changes nothing.
            let before = made.clone();
            if made.apply(rule.as_bytes(), vocabulary(&commands)).is_err() {
                assert_eq!(made, before, "seed {seed}, {rule}");
            }
        }
        let again = user(&commands, &shown(&made)["user u ".len()..]);
        assert_eq!(shown(&again), shown(&made), "seed {seed}");
        for entry in commands.iter() {
            let has = |user: &User| user.root().has_command(entry.id);
            assert_eq!(has(&again), has(&made), "seed {seed}, {}", entry.name);
        }
        assert_eq!(again, made, "seed {seed}");
    }
}

#[test]
fn the_right_rule_is_blamed_for_the_right_thing() {
    assert_eq!(wrong("+nothing"), RuleError::Unknown);
    assert_eq!(wrong("+@nothing"), RuleError::Unknown);
    assert_eq!(wrong("-select|0"), RuleError::Unknown);
    assert_eq!(wrong("+config|nothing"), RuleError::Unknown);
    assert_eq!(wrong("+config|get|x"), RuleError::FirstArgOfSubcommand);
    assert_eq!(wrong("+get|a|b"), RuleError::Unknown);
    assert_eq!(wrong("+select|"), RuleError::Syntax);
    assert_eq!(wrong("~a b"), RuleError::Syntax);
    assert_eq!(wrong("%"), RuleError::Syntax);
    assert_eq!(wrong("%~a"), RuleError::Syntax);
    assert_eq!(wrong("%RR~a"), RuleError::Syntax);
    assert_eq!(wrong("#abc"), RuleError::BadHash);
    assert_eq!(wrong("<abc"), RuleError::NoSuchPassword);
    assert_eq!(wrong("( +get"), RuleError::Syntax);
    assert_eq!(wrong("(+get &* &x)"), RuleError::AllChannels);
    assert_eq!(wrong("(~* ~x)"), RuleError::AllKeys);
    assert_eq!(wrong("(\"+get)"), RuleError::Syntax);
    assert_eq!(wrong("(~a) +get)"), RuleError::Syntax);
    let open: [&[u8]; 2] = [b"(+get", b"+set"];
    assert_eq!(merge_selectors(&open), Err(&b"(+get"[..]));
}

#[test]
fn one_selector_must_allow_all_of_a_request() {
    let commands = table();
    let u = user(
        &commands,
        "%R~r* %W~w* +@all -flushall (+mget ~x) (+select|0)",
    );
    assert_eq!(check(&commands, &u, "GET r1"), Ok(()));
    assert_eq!(check(&commands, &u, "GET w1"), Err((Reason::Key, 1)));
    assert_eq!(check(&commands, &u, "SET w1 v"), Ok(()));
    assert_eq!(check(&commands, &u, "SET w1 v GET"), Err((Reason::Key, 1)));
    assert_eq!(check(&commands, &u, "COPY r w"), Ok(()));
    assert_eq!(check(&commands, &u, "COPY w r"), Err((Reason::Key, 1)));
    assert_eq!(check(&commands, &u, "MGET x r1"), Err((Reason::Key, 2)));
    assert_eq!(check(&commands, &u, "FLUSHALL"), Err((Reason::Command, 0)));
    assert_eq!(
        check(&commands, &u, "PUBLISH c m"),
        Err((Reason::Channel, 1))
    );
    assert_eq!(check(&commands, &u, "BITFIELD r1 GET u4 0"), Ok(()));
    let write = "BITFIELD r1 GET u4 0 SET u4 0 1";
    assert_eq!(check(&commands, &u, write), Err((Reason::Key, 1)));

    let stored = "GEORADIUS r1 1 1 1 M STORE w1 STOREDIST r2";
    assert_eq!(check(&commands, &u, stored), Err((Reason::Key, 9)));

    let streams = "XREAD COUNT 1 STREAMS r1 w1 0 0";
    assert_eq!(check(&commands, &u, streams), Err((Reason::Key, 5)));
    let misnamed = "XREADGROUP COUNT 1 GROUP g streams STREAMS w1 >";
    assert_eq!(check(&commands, &u, misnamed), Err((Reason::Key, 7)));

    let none = user(&commands, "+select|0");
    assert_eq!(check(&commands, &none, "SELECT 0"), Ok(()));
    assert_eq!(
        check(&commands, &none, "SELECT 1"),
        Err((Reason::Command, 0))
    );
    assert_eq!(check(&commands, &none, "AUTH x"), Ok(()));

    let listener = user(&commands, "+@all &news &old*");
    assert_eq!(check(&commands, &listener, "SUBSCRIBE news old1"), Ok(()));
    assert_eq!(check(&commands, &listener, "PSUBSCRIBE old*"), Ok(()));
    let part = "PSUBSCRIBE news old1";
    assert_eq!(check(&commands, &listener, part), Err((Reason::Channel, 2)));
}

/// The ACL can only judge keys that are found: specs that leave some out need a finder.
#[test]
fn keys_of_every_command_can_be_found() {
    use crate::command::{BeginSearch, FindKeys, KeyFlag};
    for entry in table().iter() {
        let leaves_out = entry.decl.keys.iter().any(|spec| {
            spec.has(KeyFlag::Incomplete)
                || spec.has(KeyFlag::Doubtful)
                || spec.begin == BeginSearch::Unknown
                || spec.find == FindKeys::Unknown
        });
        let found = !leaves_out || entry.decl.find_keys.is_some();
        assert!(found, "{} needs find_keys", entry.name);
    }
}

#[test]
fn only_who_may_do_everything_is_not_restricted() {
    let commands = table();
    assert!(!User::all_powerful(b"d").is_restricted());
    assert!(!user(&commands, "+@all ~* &*").is_restricted());
    assert!(!user(&commands, "-@all (allcommands allkeys allchannels)").is_restricted());
    for rules in ["+@all ~*", "+@all &*", "+@all -get ~* &*", "(+@all ~*) &*"] {
        assert!(user(&commands, rules).is_restricted(), "{rules}");
    }
}

#[test]
fn passwords_are_checked() {
    let commands = table();
    let off = user(&commands, ">a");
    assert!(!off.accepts(b"a"));
    let on = user(&commands, "on >a >b");
    assert!(on.accepts(b"a") && on.accepts(b"b") && !on.accepts(b"c"));
    assert!(!user(&commands, "on").accepts(b""));
    assert!(user(&commands, "on >a nopass").accepts(b"whatever"));
    assert!(!user(&commands, "on nopass >a").accepts(b"whatever"));
}

#[test]
fn a_file_is_read_whole_or_not_at_all() {
    let commands = table();
    let parse = |text: &str| Acl::parse_file(text.as_bytes(), "f", vocabulary(&commands));
    let users = parse("\r\nuser a on  (+get ~x) ( +set\t)\n  user b off\n").expect("good");
    assert_eq!(users.len(), 2);
    assert_eq!(users[&b"a"[..]].selectors().len(), 2);

    let text = "user a +nothing ~a\nuser a\nusr b\nuser c ~* ~a ~b\nuser d (+get";
    let errors = parse(text).expect_err("bad");
    assert_eq!(
        String::from_utf8_lossy(&errors),
        "f:1: Error in applying operation '+nothing': Unknown command or category name in ACL. \
         WARNING: Duplicate user 'a' found on line 2. \
         f:3 should start with user keyword followed by the username. \
         f:4: Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have \
         any effect. Try 'resetkeys' to start with an empty list of patterns. \
         f:5: Unmatched parenthesis in selector definition.\
         WARNING: ACL errors detected, no change to the previously active ACL rules was performed"
    );
}

#[test]
fn alike_refusals_are_one_entry() {
    let mut log = AclLog::default();
    let mut note = |object: &[u8], now| {
        let incident = Incident {
            reason: Reason::Key,
            context: Context::TopLevel,
            object,
            username: b"u",
            client: String::new(),
        };
        log.note(incident, now, 3);
        log.entries().map(|e| (e.id, e.count)).collect::<Vec<_>>()
    };
    assert_eq!(note(b"a", 0), [(0, 1)]);
    assert_eq!(note(b"b", 1), [(1, 1), (0, 1)]);
    assert_eq!(note(b"a", 60_000), [(0, 2), (1, 1)]);
    assert_eq!(note(b"b", 60_002), [(2, 1), (0, 2), (1, 1)]);
    assert_eq!(note(b"c", 60_003), [(3, 1), (2, 1), (0, 2)]);
    let long = vec![b'x'; 1 << 20];
    note(&long, 60_004);
    assert_eq!(log.entries().next().map(|e| e.object.len()), Some(4096));
}
