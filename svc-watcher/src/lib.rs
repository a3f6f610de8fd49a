//! Bonesetter: detects failing workloads and turns them into incidents
