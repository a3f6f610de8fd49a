//! Bonesetter: what every service shares
