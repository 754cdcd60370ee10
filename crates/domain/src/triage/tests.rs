use proptest::prelude::*;

use super::*;

fn at(ms: i64) -> Moment {
    Moment::from_unix_ms(ms)
}

fn said(question: Question, said: Said, source: Source, ms: i64) -> Evidence {
    Evidence {
        question,
        said,
        source,
        by: "ana".parse().unwrap(),
        at: at(ms),
        note: None,
    }
}

fn all(words: &[Said]) -> Vec<Evidence> {
    let nodes = TREE.iter().zip(words);
    nodes
        .map(|(node, word)| said(node.question, *word, Source::Person, 0))
        .collect()
}

#[test]
fn the_first_yes_decides_and_until_then_there_is_a_next_question() {
    let no = [Said::No; 6];
    for (position, node) in TREE.iter().enumerate() {
        assert_eq!(walk(&all(&no[..position])), Led::Ask(node.question));
        let mut words = no[..=position].to_vec();
        words[position] = Said::Yes;
        assert_eq!(walk(&all(&words)), Led::Advise(node.yes, node.question));
    }
    assert_eq!(
        walk(&all(&no)),
        Led::Advise(Advice::RollBackSoon, Question::FixForward)
    );
}

#[test]
fn not_to_know_is_the_more_severe_branch() {
    for (position, node) in TREE.iter().enumerate() {
        let urgency = |word: Said| {
            let mut words = [Said::No; 6];
            words[position] = word;
            match walk(&all(&words)) {
                Led::Advise(advice, _) => advice.urgency(),
                Led::Ask(question) => panic!("asks {question:?}"),
            }
        };
        let worse = urgency(Said::Yes).min(urgency(Said::No));
        assert_eq!(urgency(Said::Unknown), worse, "{:?}", node.question);
    }
}

#[test]
fn damaged_data_wins_whatever_was_asked_before() {
    let answers = [
        said(Question::Down, Said::Yes, Source::Person, 1),
        said(Question::DataCorruption, Said::Yes, Source::Alert, 0),
    ];
    let stop = Led::Advise(Advice::StopAssessRollBack, Question::DataCorruption);
    assert_eq!(walk(&answers), stop);
    // Not to know whether it is does not stop a rollback of what is down.
    let answers = [
        said(Question::Down, Said::Yes, Source::Person, 1),
        said(Question::DataCorruption, Said::Unknown, Source::Person, 0),
    ];
    assert_eq!(
        walk(&answers),
        Led::Advise(Advice::RollBackNow, Question::Down)
    );
}

#[test]
fn a_persons_newest_word_wins_over_what_things_say() {
    let mut answers = vec![said(Question::Down, Said::Yes, Source::Probe, 9)];
    assert_eq!(
        walk(&answers),
        Led::Advise(Advice::RollBackNow, Question::Down)
    );
    answers.push(said(Question::Down, Said::Yes, Source::Person, 1));
    answers.push(said(Question::Down, Said::No, Source::Person, 2));
    assert_eq!(walk(&answers), Led::Ask(Question::DataCorruption));
}

#[test]
fn an_alerts_severity_answers_what_it_speaks_of() {
    let ana: Actor = "ana".parse().unwrap();
    let advice = |impact| by_impact(impact, &ana, at(0)).map(|said| walk(&[said]));
    assert_eq!(
        advice(Impact::Down),
        Some(Led::Advise(Advice::RollBackNow, Question::Down))
    );
    assert_eq!(advice(Impact::Slow), Some(Led::Ask(Question::Down)));
    assert_eq!(advice(Impact::Minor), None);
}

#[test]
fn words_are_the_same_everywhere() {
    for node in TREE {
        assert_eq!(node.question.word().parse(), Ok(node.question));
        assert_eq!(
            serde_json::to_value(node.question).unwrap(),
            node.question.word()
        );
    }
    assert!("maybe".parse::<Said>().is_err() && "rumour".parse::<Source>().is_err());
}

#[test]
fn each_advice_has_a_deadline_and_a_command() {
    for advice in Advice::ALL {
        assert_eq!(advice.word().parse(), Ok(advice));
        assert!(advice.deadline(at(0)) > at(0) && !advice.commands("shop").is_empty());
        let reasons = advice.commands("shop").concat();
        let rolls = reasons.contains("sternway rollback");
        assert_eq!(rolls, advice.reason().is_some(), "{advice:?}");
        assert!(
            advice
                .reason()
                .is_none_or(|reason| reasons.contains(reason.word()))
        );
    }
    assert_eq!(Advice::RollBackSoon.deadline(at(0)), at(1_800_000));
}

proptest! {
    /// Who knows less is never told to hurry less; data loss never leads to a rollback at once.
    #[test]
    fn more_doubt_is_never_less_of_a_hurry(words in proptest::collection::vec(0_u8..3, 6), doubt in 0_usize..6) {
        let words: Vec<Said> = words.iter().map(|n| [Said::Yes, Said::No, Said::Unknown][usize::from(*n)]).collect();
        let mut doubtful = words.clone();
        doubtful[doubt] = Said::Unknown;
        let urgency = |words: &[Said]| match walk(&all(words)) {
            Led::Advise(advice, _) => advice.urgency(),
            Led::Ask(question) => panic!("asks {question:?} although everything was answered"),
        };
        prop_assert!(urgency(&doubtful) <= urgency(&words));
    }
}
