//! `front adopt` and `front release`: HAProxy on the fixed port of a component, and away again. Each act looks, and acts
//! only where something differs: whoever is killed half-way is followed by the same command, or by the other one.

mod acts;
mod files;
mod proof;
mod show;
mod site;

use docker::ProjectLock;
use domain::{
    application::Application,
    front::{
        adopted::Adopted,
        adoption::{Refusal, nothing_acts, runs_the_files_image},
    },
};
use reqwest::Method;

use super::{
    application,
    args::{FrontAdoptArgs, FrontCommand, FrontReleaseArgs},
};
use crate::{
    client::{Client, Conditions, problem::Failure},
    exit::Exit,
    out::Out,
};
use site::Site;

/// `front`.
///
/// # Errors
/// Why it can not be, and what to do about it.
pub async fn run(command: &FrontCommand, client: &Client, out: &Out) -> Result<Exit, Failure> {
    match command {
        FrontCommand::Adopt(args) => adopt(args, client, out).await,
        FrontCommand::Release(args) => release(args, client, out).await,
    }
}

async fn adopt(args: &FrontAdoptArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let site = Site::look(client, &args.application).await?;
    let standing = site.standing()?;
    let begun = standing.is_some();
    let adopted = match standing {
        Some(adopted) => same_component(adopted, args)?,
        None => site.decide(args)?,
    };
    let two_versions = may_run_twice(&site, &adopted, args);
    if begun && site.is_whole(&adopted).await {
        return Ok(already(&adopted, out));
    }
    let before = proof::before(&site, &adopted, begun).await?;
    out.say(&show::adoption(&site, &adopted, two_versions, begun));
    confirmed(args.yes, "Do this now? [y/N]", out)?;
    // It may take minutes, and must not come between the last look and the first act.
    image_is_there(&site, &adopted, out).await?;
    let lock = locked(&site).await?;
    let site = again(client, &site, Some(&adopted), begun).await?;
    let put = async {
        acts::put_in_place(&site, &adopted, &lock, out).await?;
        proof::through_the_port(&site, &adopted, &before).await
    };
    if let Err(why) = put.await {
        return Err(not_served(&site, &adopted, &lock, why, out).await);
    }
    define(client, &site, |application| {
        behind(application, &adopted, two_versions)
    })
    .await?;
    Ok(done(
        &adopted,
        "adopted",
        &show::adopted(&adopted, two_versions),
        out,
    ))
}

/// It does not serve through the balancer: everything is put back, unless it was adopted before. To take down what stands
/// is `release`'s business.
async fn not_served(
    site: &Site,
    adopted: &Adopted,
    lock: &ProjectLock,
    why: String,
    out: &Out,
) -> Failure {
    if site.stands(adopted) {
        let again = format!(
            "bring {} to serve, then `sternway front adopt {}` once more: it goes on where this one ended",
            adopted.component, site.application.name
        );
        let what = format!(
            "{} was adopted before, and could not be brought to serve through HAProxy: {why}; nothing was taken away",
            adopted.component
        );
        return Failure::new(Exit::NotVerified, what, &[&again]);
    }
    out.say(&format!(
        "It does not serve through the balancer: {why}. Everything is put back."
    ));
    match acts::take_away(site, adopted, lock, out).await {
        Ok(()) => Failure::new(
            Exit::Restored,
            format!(
                "{} could not be put behind HAProxy: {why}",
                adopted.component
            ),
            &["everything is as it was: files, port and definition"],
        ),
        Err(left) => half_way(site, format!("{why}; and it could not be put back: {left}")),
    }
}

async fn release(args: &FrontReleaseArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let site = Site::look(client, &args.application).await?;
    let Some(adopted) = site.standing()? else {
        let what = format!(
            "no port of {} was given to a balancer by `front adopt`",
            args.application
        );
        return Err(Failure::new(
            Exit::Conflict,
            what,
            &["there is nothing to release"],
        ));
    };
    site.may_be_released(&adopted)
        .map_err(|refusal| refused(&refusal))?;
    out.say(&show::release(&site, &adopted));
    confirmed(args.yes, "Do this now? [y/N]", out)?;
    let lock = locked(&site).await?;
    let site = again(client, &site, Some(&adopted), true).await?;
    site.may_be_released(&adopted)
        .map_err(|refusal| refused(&refusal))?;
    define(client, &site, |application| without(application, &adopted)).await?;
    let away = acts::take_away(&site, &adopted, &lock, out).await;
    away.map_err(|why| half_way(&site, why))?;
    Ok(done(&adopted, "released", &show::released(&adopted), out))
}

/// What runs through a balancer that was set up for another component is not touched.
fn same_component(adopted: Adopted, args: &FrontAdoptArgs) -> Result<Adopted, Failure> {
    match &args.component {
        Some(wanted) if *wanted != adopted.component => Err(Failure::new(
            Exit::Conflict,
            format!(
                "{} of this project has a balancer of ours already; a project has one",
                adopted.component
            ),
            &["`sternway front release` takes it away; a second one is set up by hand"],
        )),
        Some(_) | None => Ok(adopted),
    }
}

fn may_run_twice(site: &Site, adopted: &Adopted, args: &FrontAdoptArgs) -> bool {
    let component = site.application.component(&adopted.component);
    let said = component.is_some_and(|component| {
        let front = component.front.as_ref();
        component.overlap == Some(true) || front.is_some_and(|front| front.two_versions)
    });
    args.two_versions || said
}

fn already(adopted: &Adopted, out: &Out) -> Exit {
    let text = format!(
        "{} is behind HAProxy on {} already",
        adopted.component, adopted.port
    );
    done(adopted, "unchanged", &text, out)
}

fn done(adopted: &Adopted, result: &str, text: &str, out: &Out) -> Exit {
    if out.json {
        out.object(&serde_json::json!({
            "result": result, "component": adopted.component, "port": adopted.port.to_string(),
            "service": adopted.service(), "files": [adopted.file, adopted.name],
        }));
    } else {
        out.data(text);
    }
    Exit::Reached
}

fn confirmed(yes: bool, question: &str, out: &Out) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !out.asks {
        let what = "nobody can be asked here, since this is no terminal: give --yes to start without a question";
        return Err(Failure::new(Exit::Usage, what, &["nothing was changed"]));
    }
    match out.ask(question).as_deref() {
        Some("y" | "Y" | "yes") => Ok(()),
        _ => Err(Failure::new(
            Exit::Cancelled,
            "not confirmed; nothing was changed",
            &[],
        )),
    }
}

async fn locked(site: &Site) -> Result<ProjectLock, Failure> {
    let lock = ProjectLock::take(&site.compose.folder).await;
    lock.map_err(|why| Failure::new(Exit::Conflict, why, &["wait for it, then try again"]))
}

/// Once more under the lock: what was shown must still be so.
async fn again(
    client: &Client,
    shown: &Site,
    adopted: Option<&Adopted>,
    begun: bool,
) -> Result<Site, Failure> {
    let site = Site::look(client, &shown.application.name).await?;
    let standing = site.standing()?;
    let as_shown = match begun {
        true => standing.as_ref() == adopted,
        false => standing.is_none() && site.files == shown.files && site.env == shown.env,
    };
    nothing_acts(&site.look).map_err(|refusal| refused(&refusal))?;
    if as_shown && site.application == shown.application {
        return Ok(site);
    }
    Err(Failure::new(
        Exit::Conflict,
        "the project or the definition changed meanwhile; nothing was changed",
        &["call it again"],
    ))
}

/// Before anything is touched.
async fn image_is_there(site: &Site, adopted: &Adopted, out: &Out) -> Result<(), Failure> {
    let image = &adopted.image;
    let failed = |error: docker::Error| {
        Failure::new(
            Exit::Conflict,
            format!(
                "the image {image} is not on the engine and can not be had: {error}; nothing was changed"
            ),
            &["`docker pull` it, or name another one with --image"],
        )
    };
    if site.engine.image_id(image).await.map_err(failed)?.is_none() {
        out.say(&format!("{image} is pulled ..."));
        site.engine.pull_tag(image).await.map_err(failed)?;
    }
    Ok(())
}

/// Puts the definition that `change` makes, against the revision that was read.
async fn define(
    client: &Client,
    site: &Site,
    change: impl Fn(&mut Application),
) -> Result<(), Failure> {
    let mut wanted = site.application.clone();
    change(&mut wanted);
    if wanted == site.application {
        return Ok(());
    }
    let conditions = Conditions {
        if_match: site.etag.as_deref(),
        ..Conditions::default()
    };
    let path = application::path(&wanted.name);
    let put = client.send(Method::PUT, &path, Some(&wanted), conditions);
    put.await.map(|_| ()).map_err(|mut failure| {
        let next = "call the same command again: it goes on where this one ended";
        failure.problem.next_actions.push(next.to_owned());
        failure
    })
}

fn behind(application: &mut Application, adopted: &Adopted, two_versions: bool) {
    for component in &mut application.components {
        if component.name == adopted.component {
            component.front = Some(adopted.front(two_versions));
        }
    }
    if let Some(compose) = &mut application.compose
        && !compose.files.is_empty()
        && !compose.files.contains(&adopted.name)
    {
        compose.files.push(adopted.name.clone());
    }
}

fn without(application: &mut Application, adopted: &Adopted) {
    for component in &mut application.components {
        if component
            .front
            .as_ref()
            .is_some_and(|front| adopted.is(front))
        {
            component.front = None;
        }
    }
    if let Some(compose) = &mut application.compose {
        compose.files.retain(|file| *file != adopted.name);
    }
}

/// A refusal as a command ends with it.
pub(super) fn refused(refusal: &Refusal) -> Failure {
    let next: &str = &refusal.next_action;
    Failure::new(Exit::Conflict, refusal.sentence.clone(), &[next])
}

fn half_way(site: &Site, why: String) -> Failure {
    let name = &site.application.name;
    let release = format!("`sternway front release {name}` puts everything back once that is so");
    Failure::new(Exit::NotVerified, why, &[&release])
}

/// That `up` of the component deploys nothing else than what runs.
pub(super) fn up_deploys_nothing(site: &Site, adopted: &Adopted) -> Result<(), String> {
    let (Some(container), Ok(facts)) = (site.container(&adopted.component), &site.facts) else {
        return Ok(());
    };
    let fits = runs_the_files_image(&facts.read, &adopted.component, container);
    fits.map_err(|refusal| refusal.to_string())
}
