//! What a fuzzer feeds: each function takes any bytes, and panics when a promise about hostile data
//! is broken. There only for the fuzzer (`cargo xtask fuzz`) and for the tests, which go through
//! the inputs that it has found worth keeping.

pub use crate::import::fuzz::import;

use sns_core::{Seq, Username};

use crate::token::{Caller, Origin, Scopes, TokenKey};

/// A bearer token, and one of ours that was changed: a byte to change and to what, then any text.
pub fn token(data: &[u8]) {
    let key = TokenKey::new([7; 32], "d1");
    let text = String::from_utf8_lossy(data);
    assert!(key.check(&text, 1).is_err(), "a forged token");
    let mut metadata = tonic::metadata::MetadataMap::new();
    if let Ok(value) = tonic::metadata::MetadataValue::try_from(data) {
        metadata.insert("authorization", value);
        assert!(key.caller(&metadata, 1).is_err(), "a forged token");
    }
    let Ok(alice) = Username::parse("alice") else {
        return;
    };
    let good = key.sign(&Caller {
        user: alice,
        since: Seq::new(1, 0),
        scopes: Scopes::READ | Scopes::POST,
        origin: Origin::Password,
        issued_ms: 0,
        expires_ms: 2,
    });
    let (at, with) = data.split_first().unwrap_or((&0, &[]));
    let mut bytes = good.clone().into_bytes();
    let at = usize::from(*at) % bytes.len();
    let end = (at + with.len()).min(bytes.len());
    bytes[at..end].copy_from_slice(&with[..end - at]);
    let changed = String::from_utf8_lossy(&bytes);
    if key.check(&changed, 1).is_ok() {
        // Hexadecimal digits may be capitals.
        assert_eq!(changed.to_lowercase(), good, "a forged token");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    fn each(target: &str, run: fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
        let mut count = 0;
        for file in fs::read_dir(corpus.join(target)).unwrap() {
            run(&fs::read(file.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "the corpus of {target} is empty");
    }

    #[test]
    fn what_the_fuzzer_found_is_withstood() {
        each("import", super::import);
        each("token", super::token);
    }
}
