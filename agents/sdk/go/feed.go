package stateset

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"strconv"
	"time"
)

const (
	feedPath      = "/api/v1/events/stream"
	feedPause     = 250 * time.Millisecond
	feedLineBytes = 32 << 20
	// feedSilence: three signs of life of the server have not come, the connection is dead.
	feedSilence = time.Minute
)

// Feed yields the events of the stream as they come, for ever: from a number on, in order, without gaps and repetitions, through
// lost connections. To go on after a restart, begin after the last number that was handled. It ends when ctx does.
//
// It takes server-sent events where the server has them, and asks for pages every poll where not.
func (c *Client) Feed(ctx context.Context, from uint64, poll time.Duration) iter.Seq2[*VerifiedEvent, error] {
	return func(yield func(*VerifiedEvent, error) bool) {
		f := &follower{client: c, next: max(1, from), poll: poll, yield: yield}
		for pause := feedPause; ctx.Err() == nil && !f.done; {
			before := f.next
			err := f.deliver(ctx)
			if f.done || ctx.Err() != nil {
				return
			}
			// What another attempt cannot mend is the caller's: a refusal of the key, an answer that is untrue.
			if err != nil && !isPassing(err) {
				yield(nil, err)
				return
			}
			if f.next > before {
				pause = feedPause
			}
			sleep(ctx, pause)
			pause = min(2*pause, pauseMax)
		}
	}
}

type follower struct {
	client *Client
	next   uint64
	poll   time.Duration
	// pages: the server has no live feed.
	pages bool
	yield func(*VerifiedEvent, error) bool
	done  bool
}

// deliver yields entries until it cannot any more.
func (f *follower) deliver(ctx context.Context) error {
	if f.pages {
		return f.deliverPages(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	query := f.client.query()
	query.Set("from", strconv.FormatUint(f.next, 10))
	body, err := f.client.http.stream(ctx, feedPath, query, f.next-1)
	if err != nil {
		return err
	}
	if body == nil {
		f.pages = true
		return f.deliverPages(ctx)
	}
	defer body.Close()
	silence := time.AfterFunc(feedSilence, cancel)
	defer silence.Stop()
	return readMessages(body, func() { silence.Reset(feedSilence) }, func(event string, data []byte) error {
		if event == "end" || f.done {
			return io.EOF
		}
		if event != "message" {
			return nil
		}
		var entry EventEntry
		if err := json.Unmarshal(data, &entry); err != nil {
			return unreadable(feedPath, err)
		}
		return f.take(ctx, &entry)
	})
}

func (f *follower) deliverPages(ctx context.Context) error {
	for ctx.Err() == nil && !f.done {
		page, err := f.client.page(ctx, f.next)
		if err != nil {
			return err
		}
		for i := range page.Events {
			if err := f.take(ctx, &page.Events[i]); err != nil || f.done {
				return err
			}
		}
		if f.next > page.HeadSequence || len(page.Events) == 0 {
			sleep(ctx, f.poll)
		}
	}
	return nil
}

func (f *follower) take(ctx context.Context, entry *EventEntry) error {
	verified, err := f.client.Verify(ctx, entry, f.next)
	if err != nil {
		return err
	}
	f.next++
	f.done = !f.yield(verified, nil)
	if f.done {
		return io.EOF
	}
	return nil
}

func isPassing(err error) bool {
	var found *Error
	if !errors.As(err, &found) {
		// Of the connection: it was cut, or is silent.
		return true
	}
	switch found.Status {
	case 408, 429, 500, 502, 503, 504:
		return true
	}
	return found.Kind == Unreachable
}

// readMessages reads a stream of server-sent events (WHATWG HTML, section 9.2), and ends with the first error that take answers;
// io.EOF is none.
func readMessages(body io.Reader, heard func(), take func(event string, data []byte) error) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, feedLineBytes)
	lines.Split(splitLines)
	event, data := "message", [][]byte(nil)
	for lines.Scan() {
		heard()
		line := lines.Bytes()
		name, content, _ := bytes.Cut(line, []byte(":"))
		content = bytes.Clone(bytes.TrimPrefix(content, []byte(" ")))
		switch {
		case len(line) == 0 && data != nil:
			if err := take(event, bytes.Join(data, []byte("\n"))); err != nil {
				if errors.Is(err, io.EOF) {
					return nil
				}
				return err
			}
			event, data = "message", nil
		case len(line) == 0:
			event = "message"
		case string(name) == "event":
			event = string(content)
		case string(name) == "data":
			data = append(data, content)
		}
	}
	return lines.Err()
}

// splitLines: a line ends with \r\n, \n or \r. One that does not end is none.
func splitLines(data []byte, atEOF bool) (int, []byte, error) {
	end := bytes.IndexAny(data, "\r\n")
	if end < 0 {
		if atEOF {
			return len(data), nil, nil
		}
		return 0, nil, nil
	}
	if data[end] == '\r' && end+1 == len(data) && !atEOF {
		// What follows decides how long the end is.
		return 0, nil, nil
	}
	if data[end] == '\r' && end+1 < len(data) && data[end+1] == '\n' {
		return end + 2, data[:end], nil
	}
	return end + 1, data[:end], nil
}
