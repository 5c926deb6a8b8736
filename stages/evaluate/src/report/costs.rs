//! What the models cost.

use pipeline::counted;

use super::html::{paragraph, table};
use crate::cost::{Cost, LIST_SIZES};
use crate::number;
use crate::systems::{STUDENT, TEACHER};

/// Size and time of each model.
pub(super) fn html(costs: &[Cost]) -> String {
    let Some(first) = costs.first() else { return String::new() };
    let mut rows: Vec<Vec<String>> = costs.iter().map(row).collect();
    let find = |system: &str| costs.iter().find(|cost| cost.system == system);
    if let Some((student, teacher)) = find(STUDENT).zip(find(TEACHER)) {
        rows.push(shares(student, teacher));
    }
    let times = LIST_SIZES.map(|size| format!("ms a pair, {}", counted(size, "document")));
    let header = ["model", "parameters", "size on disk", &times[0], &times[1]];
    table("Size and time of the models", &header, &rows, 1) + &paragraph(&explained(find(STUDENT), first.threads))
}

fn explained(student: Option<&Cost>, threads: usize) -> String {
    let threads = counted(threads, "thread");
    let mut text = format!(
        "Time of a query's documents over their number, tokenization included: the mean over queries of the test split, of each the \
         fastest pass, with its candidates, repeated where there are fewer, on {threads} of the machine that scored them. The size is \
         that of the model's folder; an adapter's is without its base model."
    );
    if let Some(ten) = student.and_then(|student| student.milliseconds[1]) {
        let all = number::milliseconds(ten * LIST_SIZES[1] as f64);
        text += &format!(" The student takes {all} ms for a query of {}.", counted(LIST_SIZES[1], "document"));
    }
    text
}

fn row(cost: &Cost) -> Vec<String> {
    let times = cost.milliseconds.map(|time| time.map_or("–".into(), number::milliseconds));
    let sizes = [number::count(cost.parameters as u64), number::size(cost.bytes)];
    [vec![cost.system.clone()], sizes.to_vec(), times.to_vec()].concat()
}

/// The student's shares of the teacher's sizes and times.
fn shares(student: &Cost, teacher: &Cost) -> Vec<String> {
    let share = |of: f64, all: f64| if all > 0.0 { number::percent(of / all) } else { "–".into() };
    let times = student.milliseconds.into_iter().zip(teacher.milliseconds);
    let times = times.map(|(student, teacher)| match student.zip(teacher) {
        Some((student, teacher)) => share(student, teacher),
        None => "–".into(),
    });
    let sizes = [
        share(student.parameters as f64, teacher.parameters as f64),
        share(student.bytes as f64, teacher.bytes as f64),
    ];
    [format!("{STUDENT} / {TEACHER}")].into_iter().chain(sizes).chain(times).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_student_is_shown_beside_the_teacher() {
        let cost = |system: &str, parameters, milliseconds| Cost {
            system: system.into(),
            parameters,
            bytes: 4 * parameters as u64,
            milliseconds,
            threads: 2,
        };
        let [teacher, student] =
            [cost(TEACHER, 40_000_000, [Some(20.0), None]), cost(STUDENT, 10_000_000, [Some(2.0), Some(1.5)])];
        assert_eq!(shares(&student, &teacher), ["student / teacher", "25.0 %", "25.0 %", "10.0 %", "–"]);
        let html = html(&[teacher, student]);
        assert!(html.contains("38.1 MiB") && html.contains("takes 15 ms for a query of 10 documents"), "{html}");
        assert_eq!(super::html(&[]), "");
    }
}
