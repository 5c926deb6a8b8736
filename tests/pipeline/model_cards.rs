//! The card beside each saved model: what it was made from, how, and how good it is.

use std::fs;

use crate::sandbox::Sandbox;

#[test]
fn a_card_states_data_configuration_and_results() {
    let sandbox = Sandbox::finished();
    let models = [
        ("teacher", "cpt", "cpt", "text-generation"),
        ("teacher", "rank", "rank", "text-ranking"),
        ("distill", "student", "student", "text-ranking"),
        ("distill", "student_labels_only", "labels_only", "text-ranking"),
    ];
    let queries = sandbox.manifest("ingest").tables["queries"].rows;
    for (stage, folder, phase, tag) in models {
        let card = fs::read_to_string(sandbox.run_path(stage).join(folder).join("README.md")).unwrap();
        let front = format!("---\nlibrary_name: transformers\npipeline_tag: {tag}\ntags:\n- disranker\n---\n\n# ");
        assert!(card.starts_with(&front), "{card}");
        let manifest = sandbox.manifest(stage);
        // A phase that other runs may take over tells nothing of the run that trained it.
        let of_this_run = folder != "cpt";
        for input in &manifest.inputs {
            assert_eq!(card.contains(&format!("| {} | ", input.name)), of_this_run, "{card}");
            assert_eq!(card.contains(&input.digest), of_this_run, "{card}");
        }
        assert_eq!(card.contains(&format!("| ingest/queries | {queries} | ")), of_this_run, "{card}");
        assert_eq!(card.contains(&format!("```json\n{:#}\n```", manifest.config)), of_this_run, "{card}");
        assert!(card.contains(&format!("| steps | {} |", manifest.facts[&format!("{phase}_steps")])), "{card}");
        if let Some(best) = manifest.facts.get(&format!("{phase}_best_validation")).and_then(|best| best.as_f64()) {
            assert!(card.contains(&format!(" | {best:.4} after step ")), "{card}");
        }
    }
}
