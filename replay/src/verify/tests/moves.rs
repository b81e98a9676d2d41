//! Commits that are changed, gone, moved, doubled or added, numbered as before or numbered anew.

use super::*;

fn altered(mut log: Vec<Stored>, index: usize) -> Vec<Stored> {
    // An amount: still a commit, and for the fold as good as the other.
    let text = String::from_utf8(log[index].bytes.to_vec()).unwrap();
    let other = text.replace("\"decided_at\":\"2027-01-15T08:00:00", "\"decided_at\":\"2027-01-15T08:00:01");
    assert_ne!(text, other);
    log[index].bytes = other.into();
    log
}

#[track_caller]
fn check(original: &[Stored], tampered: &[Stored], expect: (usize, FaultKind)) {
    let faults = judge(commits(tampered), kept(original));
    assert_eq!(first(&faults), Some((expect.0 as u64, expect.1)), "{faults:#?}");
}

#[tokio::test]
async fn every_move_of_every_commit_is_found_where_it_happened() {
    let log = log_of(4).await;
    assert_eq!(judge(commits(&log), kept(&log)), []);
    let last = log.len();
    for index in 0..last {
        let place = index + 1;
        check(&log, &altered(log.clone(), index), (place, FaultKind::Altered));

        let mut removed = log.clone();
        removed.remove(index);
        let (gone, moved_up) = match place == last {
            true => (FaultKind::Truncated, FaultKind::Truncated),
            false => (FaultKind::Gap, FaultKind::Removed),
        };
        check(&log, &removed, (place, gone));
        check(&log, &renumbered(removed), (place, moved_up));

        check(&log, &log[..index], (place, FaultKind::Truncated));

        for other in (0..last).filter(|other| *other != index) {
            let mut swapped = log.clone();
            swapped.swap(index, other);
            check(&log, &swapped, (place.min(other + 1), FaultKind::Reordered));
            check(&log, &renumbered(swapped), (place.min(other + 1), FaultKind::Reordered));

            let mut moved = log.clone();
            let commit = moved.remove(index);
            moved.insert(other, commit);
            check(&log, &renumbered(moved), (place.min(other + 1), FaultKind::Reordered));

            let mut overwritten = log.clone();
            overwritten[other] = Stored { position: log[other].position, ..log[index].clone() };
            let faults = judge(commits(&overwritten), kept(&log));
            // A later commit that is written over an earlier one looks like a removal until its own place comes.
            assert_eq!(first(&faults).map(|(at, _)| at), Some(other as u64 + 1), "{faults:#?}");
        }
        for before in 0..=last {
            let mut doubled = log.clone();
            doubled.insert(before, log[index].clone());
            if before > index {
                check(&log, &doubled, (place, FaultKind::Duplicated));
            }
            if (index + 1..last).contains(&before) {
                check(&log, &renumbered(doubled), (before + 1, FaultKind::Duplicated));
            }
        }
        let mut added = log.clone();
        added.insert(index, altered(log.clone(), index).swap_remove(index));
        check(&log, &renumbered(added), (place, FaultKind::Added));
    }
}

#[tokio::test]
async fn after_one_fault_the_others_are_found_as_well() {
    let log = log_of(12).await;
    let mut tampered = altered(altered(log.clone(), 20), 30);
    tampered.drain(9..12);
    tampered.swap(0, 1);
    let faults = judge(commits(&renumbered(tampered)), kept(&log));
    let found: Vec<_> = faults.iter().map(|f| (f.position.unwrap().sequence, f.kind)).collect();
    let expected = [
        (1, FaultKind::Reordered),
        (2, FaultKind::Reordered),
        (10, FaultKind::Removed),
        (21, FaultKind::Altered),
        (31, FaultKind::Altered),
    ];
    assert_eq!(found, expected, "{faults:#?}");
}

#[tokio::test]
async fn commits_newer_than_the_evidence_are_no_fault() {
    let log = log_of(4).await;
    for size in 0..=log.len() {
        assert_eq!(judge(commits(&log), kept(&log[..size])), []);
    }
}

#[tokio::test]
async fn signed_heads_alone_tell_between_which_of_them_the_change_is() {
    let log = log_of(4).await;
    let signed = [3, 7, 12];
    for index in 0..log.len() {
        let mut evidence = Evidence::default();
        signed.iter().for_each(|&size| evidence.add_head(0, head(&log, size)));
        let since = [0, 3, 7].into_iter().rfind(|size| *size <= index).unwrap();
        let faults = judge(commits(&altered(log.clone(), index)), evidence);
        assert_eq!(first(&faults), Some((since as u64 + 1, FaultKind::NotAsSigned)), "{faults:#?}");
        assert_eq!(faults.len(), 1, "one change, one fault");
    }
    let mut evidence = Evidence::default();
    evidence.add_head(0, head(&log, 12));
    assert_eq!(first(&judge(commits(&log[..9]), evidence)), Some((10, FaultKind::Truncated)));
}

#[tokio::test]
async fn a_kept_tree_that_was_changed_is_evidence_no_more() {
    let log = log_of(4).await;
    let mut evidence = kept(&altered(log.clone(), 4));
    evidence.add_head(0, head(&log, 12));
    let faults = judge(commits(&log), evidence);
    assert_eq!(first(&faults), Some((12, FaultKind::BadEvidence)), "{faults:#?}");
    assert_eq!(faults.len(), 1, "the log itself is as it was signed: {faults:#?}");
}

#[tokio::test]
async fn a_head_counts_only_with_the_signature_of_the_key() {
    let log = log_of(4).await;
    let (ours, theirs) = (NoteSigner::generate("test/0").unwrap(), NoteSigner::generate("test/0").unwrap());
    let signed = head(&log, 6).sign(&ours) + &head(&log, 12).sign(&ours);
    let mut evidence = Evidence::default();
    assert_eq!(evidence.add_notes(0, &signed, &ours.verifier(), "file"), "");
    assert_eq!(judge(commits(&log), evidence), []);

    let forged = head(&log, 6).sign(&ours) + &head(&log[..], 12).sign(&theirs);
    let mut evidence = Evidence::default();
    evidence.add_notes(0, &forged, &ours.verifier(), "file");
    assert_eq!(first(&judge(commits(&log), evidence)), Some((12, FaultKind::BadEvidence)));

    // A head of the same size with another root: whoever signed it has shown two logs.
    let mut evidence = Evidence::default();
    evidence.add_head(0, head(&log, 12));
    evidence.add_head(0, TreeHead { root: head(&log, 11).root, ..head(&log, 12) });
    assert_eq!(first(&judge(commits(&log), evidence)), Some((12, FaultKind::BadEvidence)));
}
