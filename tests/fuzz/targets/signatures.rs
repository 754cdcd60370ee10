//! Nobody who does not know the secret is believed, whatever the headers are.

#![no_main]

mod letter;

use domain::{
    time::Moment,
    trigger::{
        Kind, Settings,
        verify::{HeldSecret, verify},
    },
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let (headers, body) = letter::opened(input);
    let secret = |text: &str, until| HeldSecret {
        text: text.to_owned(),
        until,
    };
    // When the true messages among the seeds were sent.
    let now = Moment::from_unix_ms(1_767_607_201_000);
    let secrets = [
        secret("9e1d4f0c6b7a2835-nobody-knows-this-one", None),
        secret("whsec_bm9ib2R5IGtub3dzIHRoaXMgb25lIGVpdGhlcg==", Some(now)),
    ];
    for kind in Kind::ALL {
        assert!(verify(kind, &Settings::default(), &secrets, &headers, body, now).is_err());
    }
});
