//! The command line of chats.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use domain::name::{ApplicationName, ChatUser, TriggerName};

use super::TokenRole;

/// `chat`.
#[derive(Clone, Debug, Subcommand)]
pub enum ChatCommand {
    /// List who the users of a chat are
    List {
        /// The chat's trigger
        trigger: TriggerName,
    },
    /// Say who a user of a chat is: what they ask for there is done in that person's name
    Map(ChatMapArgs),
    /// Nobody is that user any more
    Unmap {
        /// The chat's trigger
        trigger: TriggerName,
        /// The user
        user: ChatUser,
    },
    /// Set the token that is posted with in Slack
    Bot {
        /// The chat's trigger
        trigger: TriggerName,
        /// A file with the token that Slack shows, `xoxb-...`; `-` reads stdin
        #[arg(long, value_name = "FILE")]
        token_file: PathBuf,
    },
}

/// `chat map`.
#[derive(Clone, Debug, Args)]
pub struct ChatMapArgs {
    /// The chat's trigger
    pub trigger: TriggerName,
    /// The user: `TEAM.USER` in Slack, the user's identity in Mattermost
    pub user: ChatUser,
    /// The person, by the name that their tokens have too
    #[arg(long, value_name = "NAME")]
    pub person: String,
    /// What they may do from the chat
    #[arg(long, value_enum)]
    pub role: TokenRole,
    /// Only for this application; may be given more than once
    #[arg(long = "application", value_name = "APPLICATION")]
    pub applications: Vec<ApplicationName>,
}
