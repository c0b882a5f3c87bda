#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sns_server::fuzz::import(data));
