/** Errors by what the caller can do about them. Each has a `code` for programs; codes are the same in every library. */
export class StatesetError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** A rule is broken: of VES, or of webhooks. Nothing was sent, or what was given does not verify. */
export class VesError extends StatesetError {}

/** The server answered and said no. */
export class RefusedError extends StatesetError {
  /** HTTP status. */
  readonly status: number;
  /** Names the request in the server's log. */
  readonly requestId: string | undefined;

  constructor(status: number, code: string, message: string, requestId: string | undefined) {
    super(code, `the server refused (${code}): ${message}`);
    this.status = status;
    this.requestId = requestId;
  }
}

/** No answer came, as often as was asked. */
export class UnreachableError extends StatesetError {
  constructor(url: string, cause: unknown) {
    super('unreachable', `no answer from ${url}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

/** The answer is not what the protocol says. */
export class UnreadableError extends StatesetError {
  constructor(path: string, problem: string) {
    super('unreadable', `the server's answer to ${path} cannot be read: ${problem}`);
  }
}

/** The server claimed something that does not verify. Its `code` is that of the check that failed. */
export class UntrueError extends StatesetError {
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(code, `the server's answer does not verify: ${message}`, options);
  }
}
