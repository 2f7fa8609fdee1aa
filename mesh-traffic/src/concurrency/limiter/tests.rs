use std::sync::atomic::AtomicUsize;

use mesh_core::testkit::seeded_rng;
use tokio::time::{advance, sleep, timeout};

use super::super::config::AdaptiveConfig;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn limiter(limit: u32, length: u32) -> ConcurrencyLimiter {
    let limit = ConcurrencyLimit::fixed(limit).expect("valid");
    ConcurrencyLimiter::new(limit, Waiting::new(length).expect("valid"))
}

async fn now_or_never<T>(future: impl Future<Output = T>) -> Option<T> {
    timeout(Duration::ZERO, future).await.ok()
}

#[tokio::test(start_paused = true)]
async fn who_waits_gets_the_place_of_who_leaves() {
    let limiter = limiter(1, 2);
    let first = limiter.acquire(Priority::Normal, None).await.expect("room");
    let mut low = Box::pin(limiter.acquire(Priority::Low, None));
    let mut high = Box::pin(limiter.acquire(Priority::High, None));
    assert!(now_or_never(&mut low).await.is_none());
    assert!(now_or_never(&mut high).await.is_none());
    assert_eq!((limiter.in_flight(), limiter.waiting()), (1, 2));
    drop(first);
    assert!(now_or_never(&mut low).await.is_none(), "the important first");
    let second = now_or_never(&mut high)
        .await
        .expect("its turn")
        .expect("a ticket");
    assert_eq!((limiter.in_flight(), limiter.waiting()), (1, 1));
    drop(second);
    drop(low.await.expect("a ticket"));
    assert_eq!((limiter.in_flight(), limiter.waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn refusals_say_limit_line_and_time() {
    let limiter = limiter(1, 1);
    let held = limiter.acquire(Priority::Normal, None).await.expect("room");
    let mut waits = Box::pin(limiter.acquire(Priority::Normal, None));
    assert!(now_or_never(&mut waits).await.is_none());

    let full = limiter.acquire(Priority::Normal, None).await.expect_err("full");
    assert_eq!(full.kind(), ErrorKind::Overloaded);
    assert_eq!(
        full.message(),
        "1 requests were under way, the limit is 1, and 1 more waited: there was no place in line for one of normal \
         priority, which has 1 at most"
    );

    advance(SECOND).await;
    let mut high = Box::pin(limiter.acquire(Priority::High, None));
    assert!(now_or_never(&mut high).await.is_none());
    let displaced = waits.await.expect_err("displaced");
    assert_eq!(
        displaced.message(),
        "waited 1s, then the place in line went to a request of higher priority: 1 requests were under way, the limit \
         is 1, and 1 more waited"
    );

    let in_vain = high.await.expect_err("nothing ended");
    assert_eq!(
        in_vain.message(),
        "waited 3s, while 1 requests were under way, the limit is 1, and 0 more waited"
    );
    assert_eq!(limiter.refused(), 3);
    drop(held);
    assert_eq!((limiter.in_flight(), limiter.waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_beyond_the_deadline_and_what_is_late_does_not_begin_to() {
    let limiter = limiter(1, 9);
    let _held = limiter.acquire(Priority::Normal, None).await.expect("room");
    let began = Instant::now();
    for (due, waited) in [
        (SECOND, SECOND),
        (9 * SECOND, 3 * SECOND),
        (Duration::ZERO, Duration::ZERO),
    ] {
        let began = Instant::now();
        let refused = limiter.acquire(Priority::Normal, Some(began + due)).await;
        assert_eq!(refused.expect_err("in vain").kind(), ErrorKind::Overloaded);
        assert_eq!(began.elapsed(), waited);
    }
    assert_eq!(began.elapsed(), 4 * SECOND);
    assert_eq!(limiter.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_waits_and_gives_up_leaves_no_hole_and_loses_no_turn() {
    let limiter = limiter(1, 9);
    let held = limiter.acquire(Priority::Normal, None).await.expect("room");
    let mut gives_up = Box::pin(limiter.acquire(Priority::High, None));
    let mut stays = Box::pin(limiter.acquire(Priority::Normal, None));
    assert!(now_or_never(&mut gives_up).await.is_none());
    assert!(now_or_never(&mut stays).await.is_none());
    // Its turn comes, and it goes before it looks.
    drop(held);
    drop(gives_up);
    assert!(now_or_never(&mut stays).await.expect("its turn").is_ok());
    drop(stays);
    assert_eq!((limiter.in_flight(), limiter.waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_tasks_never_exceed_the_limit_and_none_is_forgotten() {
    let limiter = limiter(7, 2000);
    let most = Arc::new(AtomicUsize::new(0));
    let under_way = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..1000_u64 {
        let (limiter, most, under_way) = (limiter.clone(), Arc::clone(&most), Arc::clone(&under_way));
        tasks.spawn(async move {
            let mut random = seeded_rng(n);
            sleep(Duration::from_millis(random.u64(0..500))).await;
            let priority = Priority::ALL[random.usize(0..3)];
            let wait = limiter.acquire(priority, None);
            // Some give up at a bad moment.
            let patience = match n % 5 {
                0 => Duration::from_millis(random.u64(0..20)),
                _ => Duration::MAX,
            };
            let Ok(Ok(ticket)) = timeout(patience, wait).await else {
                return 0;
            };
            most.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sleep(Duration::from_millis(random.u64(0..15))).await;
            under_way.fetch_sub(1, Ordering::SeqCst);
            drop(ticket);
            1
        });
    }
    let done: usize = tasks.join_all().await.into_iter().sum();
    assert_eq!(most.load(Ordering::SeqCst), 7);
    assert!(done >= 800, "only {done} had their turn");
    assert_eq!((limiter.in_flight(), limiter.waiting()), (0, 0));
}

#[test]
fn threads_that_come_and_go_lose_no_place_and_no_turn() {
    let limiter = limiter(3, 100);
    let under_way = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (limiter, under_way) = (limiter.clone(), &under_way);
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .build();
                let mut random = seeded_rng(thread);
                runtime.expect("a runtime").block_on(async {
                    let mut tasks = Vec::new();
                    for _ in 0..500 {
                        tasks.push(async {
                            let ticket = limiter.acquire(Priority::Normal, None).await.expect("its turn");
                            assert!(under_way.fetch_add(1, Ordering::SeqCst) < 3);
                            tokio::task::yield_now().await;
                            under_way.fetch_sub(1, Ordering::SeqCst);
                            drop(ticket);
                        });
                        if random.bool() || tasks.len() == 8 {
                            join_all(std::mem::take(&mut tasks)).await;
                        }
                    }
                    join_all(tasks).await;
                });
            });
        }
    });
    assert_eq!(
        (limiter.in_flight(), limiter.waiting(), limiter.refused()),
        (0, 0, 0)
    );
}

async fn join_all<F: Future<Output = ()>>(futures: Vec<F>) {
    let mut futures: Vec<_> = futures.into_iter().map(|future| Some(Box::pin(future))).collect();
    std::future::poll_fn(|cx| {
        for slot in &mut futures {
            if slot
                .as_mut()
                .is_some_and(|future| future.as_mut().poll(cx).is_ready())
            {
                *slot = None;
            }
        }
        match futures.iter().all(Option::is_none) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn when_an_adaptive_limit_grows_those_who_wait_have_their_turn() {
    let config = AdaptiveConfig {
        rest_samples: 3,
        ..AdaptiveConfig::default()
    };
    let limit = ConcurrencyLimit::adaptive(config).expect("valid");
    let limiter = ConcurrencyLimiter::new(limit, Waiting::default());
    assert_eq!(limiter.limit(), 3, "at rest");
    let mut tickets = Vec::new();
    for _ in 0..3 {
        tickets.push(limiter.acquire(Priority::Normal, None).await.expect("room"));
    }
    let mut waits: Vec<_> = (0..5)
        .map(|_| Box::pin(limiter.acquire(Priority::Normal, None)))
        .collect();
    for wait in &mut waits {
        assert!(now_or_never(wait).await.is_none());
    }
    advance(Duration::from_millis(10)).await;
    tickets.iter_mut().for_each(Ticket::answered);
    assert_eq!(limiter.limit(), 20);
    for wait in &mut waits {
        tickets.push(now_or_never(wait).await.expect("its turn").expect("a ticket"));
    }
    assert_eq!((limiter.in_flight(), limiter.waiting()), (8, 0));
    drop(tickets);
    assert_eq!(limiter.in_flight(), 0);
}
