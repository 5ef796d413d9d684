//! Bytes of the bus: the place of each field, round trips, and refusals.

use super::*;
use crate::cluster::slots::SlotSet;
use crate::util::rng::Rng;

fn id(letter: u8) -> NodeId {
    NodeId::parse(&[letter; 40]).expect("forty letters")
}

fn header(slots: &Bitmap) -> Header<'_> {
    Header {
        current_epoch: 0x0102_0304_0506_0708,
        config_epoch: 6,
        offset: 1234,
        sender: id(b'a'),
        slots,
        primary: None,
        ip: None,
        port: 7000,
        other_port: 0,
        bus_port: 17000,
        flags: 0x11,
        down: true,
        mflags: EXT_DATA,
    }
}

fn news<'a>(kind: Kind, gossip: Vec<Gossip>, extensions: Vec<Extension<'a>>) -> Body<'a> {
    Body::News {
        kind,
        gossip,
        bad_ids: 0,
        extensions,
    }
}

fn gossip(letter: u8) -> Gossip {
    Gossip {
        id: id(letter),
        ping_sent: 1,
        pong_received: 1_700_000_000,
        ip: "127.0.0.1".parse().ok(),
        port: 7001,
        other_port: 7101,
        bus_port: 17001,
        flags: 1,
    }
}

/// One of each kind, small.
fn samples(slots: &Bitmap) -> Vec<Message<'_>> {
    let bodies = vec![
        news(Kind::Ping, vec![gossip(b'b'), gossip(b'c')], vec![]),
        news(
            Kind::Pong,
            vec![gossip(b'z')],
            vec![
                Extension::Hostname(b"node-1.example"),
                Extension::Nodename(b"seven77"),
                Extension::Forgotten {
                    id: id(b'f'),
                    ttl_s: 60,
                },
                Extension::Shard(id(b's')),
                Extension::Secret(&[7; 40]),
            ],
        ),
        news(Kind::Meet, vec![], vec![Extension::Shard(id(b's'))]),
        Body::Fail(id(b'b')),
        Body::Publish {
            shard: false,
            channel: b"news",
            text: b"hello",
        },
        Body::AuthRequest,
        Body::AuthAck,
        Body::Update {
            epoch: 9,
            id: id(b'd'),
            slots,
        },
        Body::MfStart,
        Body::Module {
            module: [1, 2, 3, 4, 5, 6, 7, 8],
            kind: 200,
            payload: b"payload",
        },
        Body::Publish {
            shard: true,
            channel: b"",
            text: b"",
        },
    ];
    let messages = bodies.into_iter().map(|body| Message {
        header: header(slots),
        body,
    });
    messages.collect()
}

#[test]
fn every_message_comes_back() {
    let slots: SlotSet = (0..=5460).collect();
    for (number, message) in samples(slots.bitmap()).into_iter().enumerate() {
        let bytes = message.encode();
        assert_eq!(peek(&bytes), Ok(number as u16));
        assert_eq!(frame(&bytes[..16], usize::MAX), Ok(Some(bytes.len())));
        assert_eq!(decode(&bytes), Ok(message));
    }
}

/// Lengths and offsets as a capture of real nodes (7.0.15 and 8.6.2) has them.
#[test]
fn fields_stand_where_redis_puts_them() {
    let slots: SlotSet = [0, 9, 16383].into_iter().collect();
    let mut message = Message {
        header: header(slots.bitmap()),
        body: news(
            Kind::Ping,
            vec![gossip(b'b')],
            vec![Extension::Hostname(b"h")],
        ),
    };
    message.header.primary = Some(id(b'p'));
    message.header.ip = "10.0.0.1".parse().ok();
    message.header.other_port = 7100;
    let bytes = message.encode();
    let text = |from: usize, text: &[u8]| assert_eq!(&bytes[from..from + text.len()], text);
    text(0, b"RCmb");
    text(4, &[0, 0, 9, 0x48]); // 2256 + 104 + 16
    text(8, &[0, 1, 0x1b, 0x58, 0, 0, 0, 1]); // version, port 7000, PING, one record
    text(16, &[1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 6]);
    text(40, &[b'a'; 40]);
    text(80, &[1, 2, 0]);
    text(2127, &[128]);
    text(2128, &[b'p'; 40]);
    text(2168, b"10.0.0.1\0");
    text(2214, &[0, 1]);
    text(2246, &[0x1b, 0xbc, 0x42, 0x68, 0, 0x11, 1, 4, 0, 0]);
    text(2256, &[b'b'; 40]);
    text(2296, &[0, 0, 0, 1]);
    text(2304, b"127.0.0.1\0");
    text(2350, &[0x1b, 0x59, 0x42, 0x69, 0, 1, 0x1b, 0xbd, 0, 0]);
    text(2360, &[0, 0, 0, 16, 0, 0, 0, 0, b'h', 0]);
    assert_eq!(bytes.len(), 2376);
    let lengths: Vec<usize> = samples(slots.bitmap())
        .iter()
        .map(|message| message.encode().len())
        .collect();
    let ext = 24 + 16 + 56 + 48 + 48;
    let expected = [
        2256 + 208,
        2256 + 104 + ext,
        2304,
        2296,
        2264 + 9,
        2256,
        2256,
        4352,
        2256,
        2269 + 7,
        2264,
    ];
    assert_eq!(lengths, expected);
}

/// A length that says more or less than is there costs the message, never the process.
#[test]
fn lengths_are_checked_in_order() {
    let slots = SlotSet::new();
    let samples = samples(slots.bitmap());
    let damaged = |index: usize, damage: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = samples[index].encode();
        damage(&mut bytes);
        let length = bytes.len() as u32;
        bytes[4..8].copy_from_slice(&length.to_be_bytes());
        decode(&bytes).expect_err("damaged").to_string()
    };
    for (index, sample) in samples.iter().enumerate() {
        let word = Kind::ALL[index].word();
        let said = damaged(index, &|bytes| bytes.push(0));
        assert!(
            said.starts_with(&format!("Received invalid {word} packet")),
            "{said}"
        );
        let length = sample.encode().len();
        assert!(said.contains(&format!(
            "of length {} but expected length {length}",
            length + 1
        )));
    }
    let said = damaged(0, &|bytes| bytes[15] = 3);
    assert!(said.ends_with("gossip count 3 that exceeds total packet length (2464)"));
    let extension = 2256 + 104;
    let length = |value: u32| {
        move |bytes: &mut Vec<u8>| {
            bytes[extension..extension + 4].copy_from_slice(&value.to_be_bytes())
        }
    };
    // A length of zero made Redis loop on the spot; one above 65535 was checked as its low half.
    for bad in [0, 7, 9, 23] {
        let said = damaged(1, &length(bad));
        assert_eq!(
            said,
            format!("Received a pong packet without proper padding ({bad} bytes)")
        );
    }
    for bad in [65560, 4096, u32::MAX - 7] {
        assert!(damaged(1, &length(bad)).contains("extension data that exceeds"));
    }
    let said = damaged(1, &|bytes| bytes[extension + 8..extension + 24].fill(b'x'));
    assert!(said.ends_with("packet with missing null terminator in extension type 0"));
    let said = damaged(1, &|bytes| {
        let shard = extension + 24 + 16 + 56 + 8;
        bytes[shard] = b'!';
    });
    assert!(said.ends_with("packet with invalid shard id in extension type 3"));
    let said = damaged(4, &|bytes| bytes[2256..2264].fill(0xff));
    assert!(said.contains("publish packet with overflow in length fields"));
    let said = damaged(9, &|bytes| bytes[2264..2268].fill(0xff));
    assert!(said.contains("module packet with overflow in length field"));
}

#[test]
fn a_stream_that_is_none_is_closed() {
    assert_eq!(frame(b"", 0), Ok(None));
    assert_eq!(frame(b"RCmb\0\0\x08", 0), Ok(None));
    assert_eq!(frame(b"GET ", 0), Err(Refused::Frame));
    assert_eq!(frame(b"RX", 0), Err(Refused::Frame));
    let short = b"RCmb\0\0\x08\xcf\0\x01\0\0\0\0\0\0";
    assert_eq!(frame(short, usize::MAX), Err(Refused::Frame));
    // Valkey's light header is shorter than any message of ours and its kind has bit 15 set: not for us.
    let light = b"RCmb\0\0\0\x20\0\x01\0\0\x80\x04\0\0";
    assert_eq!(frame(light, usize::MAX), Err(Refused::Frame));
    // Four gigabytes are not waited for, of a stranger not even a hundred kilobytes.
    let huge = b"RCmb\xff\xff\xff\xff\0\x01\0\0\0\0\0\0";
    assert!(matches!(frame(huge, usize::MAX), Err(Refused::TooLong(_))));
    let large = b"RCmb\0\x02\0\0\0\x01\0\0\0\x04\0\0";
    assert!(frame(large, STRANGER_LIMIT).is_err());
    assert_eq!(frame(large, 1 << 20), Ok(Some(0x2_0000)));
}

#[test]
fn one_bad_name_costs_all_gossip() {
    let slots = SlotSet::new();
    let mut bytes = samples(slots.bitmap())[0].encode();
    bytes[2256] = b'?';
    let Ok(Message {
        body: Body::News {
            gossip, bad_ids, ..
        },
        ..
    }) = decode(&bytes)
    else {
        panic!("still a message");
    };
    assert!(gossip.is_empty() && bad_ids == 1);
    bytes[40] = 0xff;
    assert_eq!(decode(&bytes), Err(Refused::Id));
}

/// Number 4 is Redis's secret or Valkey's address for clients.
#[test]
fn a_valkey_address_is_not_taken_for_a_secret() {
    let slots = SlotSet::new();
    let with = |flags: u16, data: &[u8]| {
        let mut message = Message {
            header: header(slots.bitmap()),
            body: news(Kind::Pong, vec![], vec![Extension::Unknown(4)]),
        };
        message.header.flags = flags;
        let mut bytes = message.encode();
        bytes.extend_from_slice(data);
        bytes[2256..2260].copy_from_slice(&(8 + data.len() as u32).to_be_bytes());
        let length = bytes.len() as u32;
        bytes[4..8].copy_from_slice(&length.to_be_bytes());
        match decode(&bytes)?.body {
            Body::News { extensions, .. } => Ok::<String, Refused>(format!("{extensions:?}")),
            _ => panic!("not news"),
        }
    };
    let address = b"10.0.0.7\0\0\0\0\0\0\0\0";
    assert_eq!(with(0x401, address).as_deref(), Ok("[Unknown(4)]"));
    assert_eq!(with(0x1c01, address).as_deref(), Ok("[Unknown(4)]"));
    assert_eq!(with(0x401, &[b'7'; 40]).as_deref(), Ok("[Secret(…)]"));
    assert_eq!(with(0xc01, &[b'7'; 40]).as_deref(), Ok("[Unknown(4)]"));
    assert!(with(0x401, &[b'7'; 16]).is_err());
}

#[test]
fn no_bytes_make_it_panic() {
    let slots: SlotSet = (100..9000).collect();
    let samples: Vec<Vec<u8>> = samples(slots.bitmap())
        .iter()
        .map(Message::encode)
        .collect();
    let mut rng = Rng::new(14);
    for _ in 0..20_000 {
        let mut bytes = samples[rng.below(11) as usize].clone();
        for _ in 0..rng.below(8) {
            let at = match rng.below(3) {
                0 => rng.below(16),
                1 => rng.below(bytes.len() as u64),
                _ => rng.below(bytes.len() as u64 - 2200) + 2200,
            };
            bytes[at as usize] = rng.next_u64() as u8;
        }
        bytes.truncate(match rng.below(4) {
            0 => rng.below(bytes.len() as u64) as usize,
            _ => bytes.len(),
        });
        let _ = frame(&bytes, usize::MAX);
        let Ok(message) = decode(&bytes) else {
            continue;
        };
        let unknown = |extension: &Extension<'_>| matches!(extension, Extension::Unknown(_));
        let lossless = match &message.body {
            Body::News { extensions, .. } => !extensions.iter().any(unknown),
            _ => true,
        };
        let again = message.encode();
        let kept = decode(&again).is_ok_and(|again| again.header == message.header);
        assert!(kept || !lossless);
    }
}
