//! Incidents of which the streams hold only the end.

use crate::replay::{json, run};
use crate::world::{BAD_VALUE, Case, End, World};
use crate::{bonesetter, stderr};

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_whose_detection_has_aged_out_is_listed_and_shown() {
    let world = World::start().await;
    let case = Case::new(BAD_VALUE, "orders", 1, End::Proposed);
    world.diagnose(&case).await;
    world.act(&case).await;

    let list = run(&world.arguments(&["incidents"]));
    for expected in [
        &case.id()[..8],
        "shop/orders-1",
        "suggested*",
        "* its detection is no longer there",
    ] {
        assert!(list.contains(expected), "{expected}\n{list}");
    }
    let list = json(&world.arguments(&["incidents", "-o", "json"]));
    assert_eq!(list[0]["id"], case.id());
    assert!(list[0]["resolved"].is_null(), "{list}");
    let open = run(&world.arguments(&["incidents", "--open"]));
    assert_eq!(open, "no incidents\n");

    for typed in [case.id(), &case.id()[..6]] {
        let text = run(&world.arguments(&["show", typed]));
        for expected in [
            case.id(),
            "detection is no longer there",
            "bad-config-value",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
    }
    let unknown = "a".repeat(26);
    for typed in [&unknown, &unknown[..5]] {
        let arguments = world.arguments(&["show", typed]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = bonesetter(&arguments, "");
        assert!(!output.status.success());
        let error = stderr(&output);
        assert!(
            error.contains("nothing is stored of an incident"),
            "{error}"
        );
    }
}
