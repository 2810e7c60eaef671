//! `exporter registry`: what is published, by the short names that other commands take.

use hub::registry::{DATASETS, MODELS};

/// Prints the registry.
pub(crate) fn run() {
    print!("{}", text());
}

fn text() -> String {
    let mut lines = vec!["checkpoints (exporter import --weights NAME):".to_owned()];
    for model in MODELS {
        let accuracy = model.accuracy.map_or("not published with the file".to_owned(), |accuracy| {
            format!("{} ({})", accuracy.value, accuracy.source)
        });
        lines.push(format!("\n  {}", model.name));
        lines.push(format!("    file      {}/{}@{}", model.repository, model.file, model.revision));
        lines.push(format!("    model     {} for {}: {}", model.architecture, model.task, model.note));
        lines.push(format!("    accuracy  {accuracy}"));
        lines.push(format!("    licence   {}", model.licence));
    }
    lines.push("\ndata sets (datasets build … --source-repo NAME):".to_owned());
    for set in DATASETS {
        lines.push(format!("\n  {}", set.name));
        lines.push(format!("    files     {}@{}: {}", set.repository, set.revision, set.files.join(", ")));
        lines.push(format!("    data      {}: {}", set.task, set.note));
        lines.push(format!("    licence   {}", set.licence));
    }
    lines.join("\n") + "\n"
}
