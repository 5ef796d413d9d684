// BullMQ's job kinds against the server on port process.argv[2]: each leaves its result in the right state.
import assert from "node:assert/strict";
import { FlowProducer, Queue, QueueEvents, UnrecoverableError, Worker } from "bullmq";

const connection = { host: "127.0.0.1", port: Number(process.argv[2]), maxRetriesPerRequest: null };
const name = "kinds";
const queue = new Queue(name, { connection });
const events = new QueueEvents(name, { connection });
const flows = new FlowProducer({ connection });
await events.waitUntilReady();

let attempts = 0;
const order = [];
const worker = new Worker(
  name,
  async (job) => {
    switch (job.name) {
      case "flaky":
        if (++attempts < 3) throw new Error("again");
        return attempts;
      case "hopeless":
        throw new UnrecoverableError("never");
      case "progress":
        await job.updateProgress(50);
        await job.log("half way");
        return "done";
      case "parent":
        return Object.values(await job.getChildrenValues()).sort();
      case "ordered":
        order.push(job.data.n);
        return job.data.n;
      default:
        return job.data;
    }
  },
  { connection, autorun: false, concurrency: 1 },
);

const result = (job) => job.waitUntilFinished(events, 30_000);

// Priorities and order: all are there before the worker starts.
const ordered = await queue.addBulk([
  { name: "ordered", data: { n: 3 }, opts: { priority: 30 } },
  { name: "ordered", data: { n: 1 }, opts: { priority: 10 } },
  { name: "ordered", data: { n: 2 }, opts: { priority: 20 } },
  { name: "ordered", data: { n: 0 } },
]);
const running = worker.run();
await Promise.all(ordered.map(result));
assert.deepEqual(order, [0, 1, 2, 3]);

// A plain one, a delayed one, one that repeats, one that fails twice, one that fails for good.
assert.deepEqual(await result(await queue.add("plain", { a: 1 })), { a: 1 });
const before = Date.now();
assert.equal(await result(await queue.add("later", 7, { delay: 300 })), 7);
assert.ok(Date.now() - before >= 300);
const flaky = await queue.add("flaky", {}, { attempts: 3, backoff: { type: "fixed", delay: 50 } });
assert.equal(await result(flaky), 3);
const hopeless = await queue.add("hopeless", {}, { attempts: 5 });
await assert.rejects(result(hopeless), /never/);
assert.ok(await hopeless.isFailed());
const repeated = [];
const thrice = new Promise((resolve) =>
  events.on("completed", ({ jobId }) => {
    if (jobId.startsWith("repeat:") && repeated.push(jobId) === 3) resolve();
  }),
);
await queue.upsertJobScheduler("ticks", { every: 200, limit: 5 }, { name: "tick", data: 1 });
await thrice;
assert.ok(await queue.removeJobScheduler("ticks"));

// Progress, logs, one id once, removal.
const progress = await queue.add("progress", {});
assert.equal(await result(progress), "done");
assert.equal((await queue.getJob(progress.id)).progress, 50);
assert.deepEqual((await queue.getJobLogs(progress.id)).logs, ["half way"]);
await queue.pause();
const first = await queue.add("plain", 1, { jobId: "only" });
await queue.add("plain", 2, { jobId: "only" });
assert.equal((await queue.getJobCounts("paused")).paused, 1);
assert.ok(await queue.isPaused());
await queue.resume();
assert.equal(await result(first), 1);
const removed = await queue.add("plain", 1, { delay: 3_600_000 });
await removed.remove();
assert.equal(await queue.getJob(removed.id), undefined);

// A parent that waits for its children.
const tree = await flows.add({
  name: "parent",
  queueName: name,
  data: {},
  children: [
    { name: "child", queueName: name, data: "a" },
    { name: "child", queueName: name, data: "b", opts: { delay: 100 } },
  ],
});
assert.deepEqual(await result(tree.job), ["a", "b"]);

const counts = await queue.getJobCounts();
assert.equal(counts.active, 0);
assert.equal(counts.failed, 1);
await worker.close();
await running;
await queue.obliterate({ force: true });
assert.deepEqual(await queue.getJobs(), []);
await Promise.all([queue.close(), events.close(), flows.close()]);
console.log("bullmq: all job kinds");
