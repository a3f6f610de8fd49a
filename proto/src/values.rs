/// Every value of one of the contract's enumerations that says something, in the order of their numbers.
pub fn values<E: TryFrom<i32>>() -> impl Iterator<Item = E> {
    // Zero is "unspecified", and a reserved number is no value.
    (1..=MOST).filter_map(|number| E::try_from(number).ok())
}

/// No enumeration has a greater number.
const MOST: i32 = 63;

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;
    use crate::DESCRIPTOR_SET;
    use crate::v1::{FailureClass, Phase, Step};

    #[test]
    fn every_value_is_there_but_the_one_that_says_nothing() {
        let phases: Vec<Phase> = values().collect();
        let expected = [
            Phase::Open,
            Phase::Update,
            Phase::Reclassified,
            Phase::Resolved,
        ];
        assert_eq!(phases, expected);
        assert_eq!(values::<Step>().last(), Some(Step::Stuck));
        assert!(values::<FailureClass>().all(|class| class != FailureClass::Unspecified));
    }

    #[test]
    fn no_enumeration_has_a_greater_number() {
        let set = FileDescriptorSet::decode(DESCRIPTOR_SET).unwrap();
        let ours = set
            .file
            .iter()
            .filter(|file| file.package() == "bonesetter.v1");
        let enumerations: Vec<_> = ours.flat_map(|file| &file.enum_type).collect();
        assert!(!enumerations.is_empty());
        for value in enumerations.iter().flat_map(|it| &it.value) {
            assert!((0..=MOST).contains(&value.number()), "{}", value.name());
        }
    }
}
