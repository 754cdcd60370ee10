use clap::CommandFactory;
use domain::target::Target;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

#[test]
fn the_definition_holds_together() {
    Cli::command().debug_assert();
}

#[test]
fn a_rollback_names_at_most_one_target_and_may_name_none() {
    let target = |line: &str| {
        let Command::Rollback(args) = parse(line).unwrap().command else {
            panic!("another command")
        };
        args.target.target()
    };
    assert_eq!(target("sternway rollback shop"), None);
    assert_eq!(
        target("sternway rollback shop --to 1.4.2"),
        Some(Target::Version("1.4.2".parse().unwrap()))
    );
    assert_eq!(
        target("sternway rollback shop --previous"),
        Some(Target::Previous)
    );
    assert_eq!(
        target("sternway rollback shop --good --reason security"),
        Some(Target::LastKnownGood)
    );
    assert!(parse("sternway rollback shop --good --previous").is_err());
    assert!(parse("sternway rollback shop --wait --detach").is_err());
    assert!(parse("sternway rollback shop --good --reason boredom").is_err());
}

#[test]
fn a_deployment_names_an_image_for_each_component() {
    let Command::RecordDeploy(args) =
        parse("sternway record-deploy shop --version 1.4.2 --image api=reg/api:1.4.2 --image worker=w@sha256:00").unwrap().command
    else {
        panic!("another command");
    };
    let images: Vec<String> = args
        .images
        .iter()
        .map(|(name, image)| format!("{name} {image}"))
        .collect();
    assert_eq!(images, ["api reg/api:1.4.2", "worker w@sha256:00"]);
    assert!(parse("sternway record-deploy shop --version 1.4.2").is_err());
    assert!(parse("sternway record-deploy shop --version 1.4.2 --image api").is_err());
}

#[test]
fn a_window_lasts_and_an_answer_is_one_of_three() {
    for line in [
        "sternway may-deploy shop",
        "sternway windows add deny --cron 0",
        "sternway windows add thaw --cron 0 --hours 1",
        "sternway automatic off shop",
        "sternway decide shop --answer down=maybe",
        "sternway decide shop --answer down",
        "sternway decide shop --over --answer down=yes",
    ] {
        assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
    }
    for line in [
        "sternway windows add allow shop --cron 0 --minutes 90",
        "sternway automatic",
        "sternway automatic off --reason x",
        "sternway decide shop --answer down=no --answer many_users=unknown --source probe",
    ] {
        assert!(parse(line).is_ok(), "{line}");
    }
}

#[test]
fn names_are_checked_before_anything_is_asked() {
    for line in [
        "sternway status $(reboot)",
        "sternway adopt ../etc",
        "sternway watch 42",
        "sternway plan -- -rf",
    ] {
        let error = parse(line).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn the_server_listens_locally_unless_told() {
    let listens = |line: &str| {
        let Command::Serve(args) = parse(line).unwrap().command else {
            panic!("another command")
        };
        (args.role, args.listen)
    };
    assert_eq!(
        listens("sternway serve"),
        (Role::All, vec![LISTEN_DEFAULT.parse().unwrap()])
    );
    let (role, listen) = listens("sternway serve --role api --listen 0.0.0.0:80 --listen [::]:80");
    assert_eq!((role, listen.len()), (Role::Api, 2));
}

#[test]
fn flags_for_all_commands_may_come_last() {
    assert!(
        parse("sternway version --json --no-color")
            .unwrap()
            .globals
            .json
    );
}

#[test]
fn messages_are_listed_page_by_page() {
    let id = "01a20864-02fc-7080-a511-d91cce5bc735";
    let line = format!("sternway messages shop --limit 100 --after {id}");
    let Command::Messages(args) = parse(&line).unwrap().command else {
        panic!("another command")
    };
    assert_eq!(args.after.map(|id| id.to_string()).as_deref(), Some(id));
    assert!(parse("sternway messages --after yesterday").is_err());
}
