//! Bonesetter: collects the evidence of an incident
