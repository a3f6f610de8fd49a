//! Bonesetter: signing, sealing and keyed digests
