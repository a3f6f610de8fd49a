//! Bonesetter: the trust boundary: redacts, signs, passes on
