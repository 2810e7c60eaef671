// Why a puzzle gets no answer, in the form that the server tells it. Leaves showing it to main.js.

/** An answer of the server that is not a solution: problem+json, or what stands for it. */
export class Problem extends Error {
  constructor(body, status) {
    super(body.detail ?? body.title ?? `The server answered ${status}.`);
    this.name = (body.type ?? "").split(":").at(-1);
    this.status = body.status ?? status;
    this.title = body.title;
    this.conflict = body.conflict;
    this.retryAfter = body.retry_after_seconds;
  }
}
