//! Bonesetter: the ledger and its archive
