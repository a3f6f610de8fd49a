#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bonesetter_fuzz::object(bytes));
