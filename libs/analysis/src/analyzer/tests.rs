//! Tokens by the rules, and what holds for every text.

use super::*;
use proptest::prelude::*;

fn tokens(name: AnalyzerName, text: &str) -> Vec<String> {
    Analyzer::new(name).tokens(text)
}

#[test]
fn unicode_joins_all_rules() {
    let unicode = |text| tokens(AnalyzerName::Unicode, text);
    assert_eq!(unicode("Wi-Fi 6E, ÉCOLE Straße №7!"), ["wi", "fi", "6e", "ecole", "strasse", "no7"]);
    assert_eq!(unicode("iPhone15手机壳"), ["iphone15", "手机", "机壳"]);
    assert_eq!(unicode("John’s İstanbul I ı"), ["john's", "istanbul", "i", "i"]);
    assert_eq!(unicode("👍🏽 1️⃣ #️⃣ 🇩🇪 👩‍👩‍👧 € ©"), ["1"]);
    assert!(unicode("--\u{0}--\u{301}\u{200d}").is_empty());
}

#[test]
fn languages_drop_stop_words_and_stem_before_accents_fall() {
    assert_eq!(
        tokens(AnalyzerName::English, "The runner's shoes: it's IN the running-shop"),
        ["runner", "shoe", "run", "shop"]
    );
    assert_eq!(tokens(AnalyzerName::German, "Für die Häuser daß Größen"), ["haus", "gross"]);
    assert_eq!(tokens(AnalyzerName::French, "L’été à l'école"), ["ete", "ecol"]);
    assert_eq!(tokens(AnalyzerName::English, "running 手机壳"), ["run", "手机", "机壳"]);
}

#[test]
fn whitespace_folds_as_queries_are_folded() {
    let text = " 1032 77\t4051\u{3000}Ä\u{ad} Tok_7.B\n";
    assert_eq!(tokens(AnalyzerName::Whitespace, text), ["1032", "77", "4051", "ä", "tok_7.b"]);
}

#[test]
fn names_are_those_of_the_configuration() {
    for &name in AnalyzerName::ALL {
        assert_eq!(serde_json::to_value(name).unwrap(), name.name());
        assert_eq!(Analyzer::new(name).name(), name);
    }
    assert_eq!(Analyzer::new(AnalyzerName::default()).identity(), "unicode 1");
}

#[test]
fn long_tokens_are_cut() {
    let lengths = |text: &str| -> Vec<usize> {
        tokens(AnalyzerName::English, text).iter().map(|token| token.chars().count()).collect()
    };
    assert_eq!(lengths(&"x".repeat(255)), [255]);
    assert_eq!(lengths(&"x".repeat(600)), [255, 255, 90]);
    assert_eq!(lengths(&"æ".repeat(200)), [255, 145]);
    assert_eq!(lengths(&format!("漢{}", "\u{301}".repeat(300))), [255, 46]);
}

#[test]
fn huge_and_odd_texts_are_taken() {
    let size = 1 << 20;
    for text in ["a", "\u{301}", "\u{0}", "漢", "ก้", "é", "\u{200d}", "\u{1100}", "a ", "🇩", "א'", "ﷺ"] {
        let text = text.repeat(size / text.len());
        for name in [AnalyzerName::Unicode, AnalyzerName::English] {
            Analyzer::new(name).for_each(&text, |token| assert!(!token.is_empty()));
        }
    }
}

/// What the stemmers are made for.
fn word_of_one_script() -> impl Strategy<Value = String> {
    let latin = prop_oneof!["[a-z']{1,40}", "[a-zà-ɏ]{1,40}"];
    let semitic = prop_oneof!["[ء-ۓ\u{64b}-\u{652}]{1,40}", "[א-ת]{1,40}"];
    let indic = prop_oneof!["[ऀ-ॿ]{1,40}", "[஀-௿]{1,40}"];
    prop_oneof![latin, semitic, indic, "[а-џ]{1,40}", "[ά-ώ]{1,40}", "[ա-և]{1,40}"]
}

proptest! {
    #[test]
    fn every_text_is_taken_and_no_token_is_empty_or_long(
        number in 0..AnalyzerName::ALL.len(),
        text in "([a-z']|[à-ɏ]|[Ͱ-ӿ]|[\u{530}-ۿ]|[ऀ-ॿ]|[஀-௿]|[฀-໿]|[ក-៿]|[぀-ヿ]|[一-三]|.){0,60}",
    ) {
        let analyzer = Analyzer::new(AnalyzerName::ALL[number]);
        for token in analyzer.tokens(&text) {
            prop_assert!(!token.is_empty() && token.chars().count() <= MAX_CHARACTERS);
            prop_assert!(!token.contains(char::is_whitespace));
        }
    }

    #[test]
    fn stemmers_take_every_word_of_one_script(word in word_of_one_script()) {
        for &name in AnalyzerName::ALL {
            Analyzer::new(name).for_each(&word, |token| assert!(!token.is_empty()));
        }
    }

    #[test]
    fn spaces_join_token_lists(a in "\\PC{0,20}", b in "\\PC{0,20}") {
        let analyzer = Analyzer::new(AnalyzerName::English);
        let mut joined = analyzer.tokens(&a);
        joined.extend(analyzer.tokens(&b));
        prop_assert_eq!(analyzer.tokens(&format!("{a} \n{b}")), joined);
    }
}
