//! The store can be lost, damaged or written by another version at any moment, and nothing is lost.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{Shop, open, reached, tenant};
use crate::store::{fingerprint, keys};
use crate::{StoreError, StoreOptions, Views, fresh_digest};

fn corpses(path: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    names.filter(|path| path.file_name().unwrap().to_string_lossy().contains(".corrupt-")).collect()
}

/// Folds what is missing, and makes sure that the views are then what the log says.
async fn check_recovers(shop: &Shop, views: &Views) {
    let projector = shop.projector(views).await;
    reached(&projector, shop.last().await).await;
    assert_eq!(views.digest_by_scan().unwrap(), fresh_digest(shop.journal.as_ref(), None).await.unwrap());
    projector.shutdown().await.unwrap();
}

/// A store with the views of a whole log, closed.
async fn folded() -> Shop {
    let shop = Shop::open().await;
    shop.fill().await;
    check_recovers(&shop, &shop.views()).await;
    shop
}

#[tokio::test]
async fn a_second_process_is_told_that_the_store_is_in_use() {
    let shop = Shop::open().await;
    let views = shop.views();
    let second = Views::open(&shop.views_path(), &StoreOptions::default());
    let Err(error @ StoreError::Locked { .. }) = second else { panic!("it is not locked") };
    assert!(error.to_string().contains("in use by another process"), "{error}");
    drop(views);
    shop.views();
}

#[tokio::test]
async fn a_store_goes_on_where_it_was_closed() {
    let shop = folded().await;
    let views = shop.views();
    assert_eq!(views.checkpoint(0), shop.last().await.sequence);
    assert_eq!(views.generation(), 1);
    shop.submit("A-9").await;
    check_recovers(&shop, &views).await;
    assert!(corpses(&shop.views_path()).is_empty());
}

#[tokio::test]
async fn a_missing_store_is_folded_from_the_log() {
    let shop = folded().await;
    fs::remove_dir_all(shop.views_path()).unwrap();
    check_recovers(&shop, &shop.views()).await;
}

/// The directory of a store as a crash may leave it: copied while the projector was at work, with nothing flushed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_crash_the_fold_goes_on_from_a_checkpoint_that_fits_the_rows() {
    let shop = Shop::open().await;
    let views = shop.views();
    let projector = shop.projector(&views).await;
    for round in 0..8 {
        for key in 0..40 {
            shop.submit(&format!("{round}-{key}")).await;
        }
        shop.settle(&format!("{round}-7")).await;
        if round % 2 == 0 {
            reached(&projector, shop.last().await).await;
        }
        let crashed = shop.dir.path().join(format!("crash-{round}"));
        {
            let _held = views.store().hold_still();
            copy(&shop.views_path(), &crashed);
        }
        let resumed = open(&crashed);
        let checkpoint = resumed.digest_by_scan().unwrap().checkpoint;
        let expected = fresh_digest(shop.journal.as_ref(), Some(&checkpoint)).await.unwrap();
        assert_eq!(resumed.digest_by_scan().unwrap(), expected, "rows and checkpoint are of one moment");
        assert_eq!(resumed.digest(), expected, "and so is the digest that is kept");
        check_recovers(&shop, &resumed).await;
        assert!(corpses(&crashed).is_empty());
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[track_caller]
fn check_moved_aside(shop: &Shop) -> Views {
    let views = shop.views();
    assert_eq!(views.checkpoint(0), 0, "nothing of it is believed");
    assert_eq!(corpses(&shop.views_path()).len(), 1, "it is kept for people to look at");
    views
}

#[tokio::test]
async fn a_store_that_is_not_sleds_is_moved_aside_and_folded_again() {
    let shop = folded().await;
    fs::write(shop.views_path().join("conf"), "what is this?").unwrap();
    check_recovers(&shop, &check_moved_aside(&shop)).await;
}

#[tokio::test]
async fn a_store_with_a_scribbled_file_is_moved_aside_and_folded_again() {
    let shop = folded().await;
    let path = shop.views_path().join("db");
    let mut file = fs::File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(100)).unwrap();
    file.write_all(&[0xa5; 16]).unwrap();
    drop(file);
    check_recovers(&shop, &check_moved_aside(&shop)).await;
}

#[tokio::test]
async fn a_store_whose_file_was_cut_off_is_folded_again_from_whatever_fits_together() {
    let shop = folded().await;
    let path = shop.views_path().join("db");
    let size = fs::metadata(&path).unwrap().len();
    for part in (0..4).rev() {
        fs::File::options().write(true).open(&path).unwrap().set_len(size * part / 4).unwrap();
        let views = shop.views();
        let found = views.digest_by_scan().unwrap();
        let expected = fresh_digest(shop.journal.as_ref(), Some(&found.checkpoint)).await.unwrap();
        assert_eq!(found, expected, "rows and checkpoint are of one moment");
        assert_eq!(views.digest(), expected, "and so is the digest that is kept");
        check_recovers(&shop, &views).await;
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_an_error_now_and_a_fresh_fold_at_the_next_start() {
    let shop = folded().await;
    let (id, position) = shop.submit("A-9").await;
    let views = shop.views();
    check_recovers(&shop, &views).await;
    let row = (keys::orders(&tenant()).at(position), Some(vec![1, 2, 3]));
    views.store().live().rows.apply([row]).unwrap();
    let error = views.order(&tenant(), id).unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
    drop(views);
    check_recovers(&shop, &check_moved_aside(&shop)).await;
    check_recovers(&shop, &shop.views()).await;
    assert_eq!(corpses(&shop.views_path()).len(), 1, "once");
}

#[tokio::test]
async fn rows_that_this_version_cannot_read_are_left_beside_a_new_generation_and_found_again_on_the_way_back()
{
    let shop = folded().await;
    let views = shop.views();
    let old = views.store().live().number;
    views.store().pretend_version(old, &[7; 32]).unwrap();
    // A row as this version would not have written it.
    let row = (keys::orders(&tenant()).at(shop.last().await), Some(vec![2, 3, 4]));
    views.store().live().rows.apply([row]).unwrap();
    drop(views);

    let views = shop.views();
    assert_eq!((views.generation(), views.checkpoint(0)), (2, 0));
    check_recovers(&shop, &views).await;
    assert!(corpses(&shop.views_path()).is_empty());

    // The older version comes back and finds its rows as it left them.
    views.store().pretend_version(2, &[8; 32]).unwrap();
    views.store().pretend_version(old, &fingerprint().unwrap()).unwrap();
    drop(views);
    let views = shop.views();
    assert_eq!((views.generation(), views.checkpoint(0)), (1, shop.last().await.sequence));
}

#[test]
fn whoever_changes_a_view_changes_the_fingerprint() {
    // When this fails, views changed, and every store is folded again at its next start. If that is meant, put
    // the new figure here and say so in the changelog.
    assert_eq!(
        data_encoding::HEXLOWER.encode(&fingerprint().unwrap()),
        "286039aec643b3b741cbca99f247ee6730df0f84edeba3df8d2c686e7bf1c8e6"
    );
}
