use std::path::Path;

use super::{COMMON, ConfigError, Overrides, Problems, Settings, read_section, read_yaml};

/// Reads the settings of one service from its file alone: no environment, and the sections that every
/// service has may be there but are not looked at. For tools that ask what a configuration would do.
pub fn load_own<S: Settings>(file: &Path) -> Result<S, ConfigError> {
    let mut problems = Problems::default();
    let mut own = read_yaml(file)?;
    own.retain(|key, _| !COMMON.contains(&key.as_str()));
    let own: Option<S> = read_section(own, &mut Overrides::default(), &mut problems);
    if let Some(own) = &own {
        own.validate(&mut problems);
    }
    match own {
        Some(own) if problems.0.is_empty() => Ok(own),
        _ => Err(ConfigError::Invalid(problems)),
    }
}
