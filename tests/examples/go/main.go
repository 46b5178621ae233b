// Sends a command, reads a lane and watches another one, by gRPC: client [HOST:PORT] [SEQUENCE]
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"example/shoalv1"
)

//go:generate protoc --proto_path ../../../proto/proto --go_out . --go_opt module=example,Mshoal/v1/lanes.proto=example/shoalv1 --go-grpc_out . --go-grpc_opt module=example,Mshoal/v1/lanes.proto=example/shoalv1 shoal/v1/lanes.proto

// With a sequence it is the key of a command. It stays the same from run to run; another program has another one.
const clientName = "example-go"

const flight = `{"carrier": "UA", "flight": 1545, "tailnum": "N24211", "origin": "JFK", "dest": "IAH", "distance": 1416,
	"month": 1, "day": 1, "sched_dep_time": 529, "dep_time": 546, "dep_delay": 17}`

// pause waits until the call may be made again. A refusal that is final is returned.
func pause(ctx context.Context, err error, trailer metadata.MD) error {
	told := func(name string) string { return append(trailer.Get(name), "")[0] }
	code := status.Code(err)
	lost := code == codes.Unavailable || code == codes.DeadlineExceeded || code == codes.Canceled
	if !lost && told("shoal-code") != "429" {
		return fmt.Errorf("%w (at %s)", err, told("shoal-at"))
	}
	log.Print("again soon: ", err)
	after, _ := strconv.Atoi(told("shoal-retry-after"))
	select {
	case <-ctx.Done():
		return ctx.Err()
	// Clients that have lost the same node do not all come at once.
	case <-time.After(time.Duration(after)*time.Second + 100*time.Millisecond + rand.N(900*time.Millisecond)):
		return nil
	}
}

// call makes a call until it is answered.
func call[Q, A any](ctx context.Context, method func(context.Context, *Q, ...grpc.CallOption) (*A, error), request *Q) (*A, error) {
	for {
		var trailer metadata.MD
		inTime, cancel := context.WithTimeout(ctx, 10*time.Second)
		answer, err := method(inTime, request, grpc.Trailer(&trailer))
		cancel()
		if err == nil {
			return answer, nil
		}
		if err := pause(ctx, err, trailer); err != nil {
			return nil, err
		}
	}
}

// send sends a command. By its key it has one effect, however often it is sent.
func send(ctx context.Context, lanes shoalv1.LanesClient, agent, lane, body string, sequence uint64) (uint64, error) {
	answer, err := call(ctx, lanes.Send, &shoalv1.SendRequest{
		Agent: agent, Lane: lane, Body: []byte(body), Client: clientName, Sequence: sequence})
	return answer.GetVersion(), err
}

// read reads a Value or Map lane, with everything that was acknowledged before.
func read(ctx context.Context, lanes shoalv1.LanesClient, agent, lane string) (json.RawMessage, error) {
	answer, err := call(ctx, lanes.Get, &shoalv1.GetRequest{Agent: agent, Lane: lane})
	return answer.GetBody(), err
}

// watch shows the state of a Map lane, and again whenever it has changed.
func watch(ctx context.Context, lanes shoalv1.LanesClient, agent, lane string, show func(map[string]int)) error {
	state := map[string]int{}
	// From the beginning, which is told by a reset.
	request := &shoalv1.WatchRequest{Agent: agent, Lane: lane, From: proto.Uint64(0)}
	for {
		var trailer metadata.MD
		stream, err := lanes.Watch(ctx, request, grpc.Trailer(&trailer))
		for err == nil {
			var answer *shoalv1.WatchResponse
			answer, err = stream.Recv()
			for _, event := range answer.GetEvents() {
				if err := fold(state, event); err != nil {
					return err
				}
				if event.Kind == shoalv1.EventKind_EVENT_KIND_RESET { // what the token stood for was dropped
					request.From = proto.Uint64(0)
				}
				if event.Id != nil { // everything of the lane up to here has come
					request.From = event.Id
					show(state)
				}
			}
		}
		log.Print("the watch ended after ", request.GetFrom())
		if err := pause(ctx, err, trailer); err != nil {
			return err
		}
	}
}

// fold changes the state of a Map lane as an event says.
func fold(state map[string]int, event *shoalv1.Event) error {
	var key string
	if event.Key != nil {
		if err := json.Unmarshal(event.Key, &key); err != nil {
			return fmt.Errorf("the key %s: %w", event.Key, err)
		}
	}
	switch event.Kind {
	case shoalv1.EventKind_EVENT_KIND_UPDATE:
		var value int
		if err := json.Unmarshal(event.Value, &value); err != nil {
			return fmt.Errorf("the value at %s: %w", key, err)
		}
		state[key] = value
	case shoalv1.EventKind_EVENT_KIND_REMOVE:
		delete(state, key)
	case shoalv1.EventKind_EVENT_KIND_CLEAR:
		clear(state)
	case shoalv1.EventKind_EVENT_KIND_RESET: // all of it follows
		fmt.Println("reset")
		clear(state)
	}
	return nil
}

func run(ctx context.Context, at, number string) error {
	sequence, err := strconv.ParseUint(number, 10, 63)
	if err != nil {
		return fmt.Errorf("the sequence: %w", err)
	}
	connection, err := grpc.NewClient(at,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		// A node that is gone without a word is noticed within 40 s, also while nothing happens on a lane.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}))
	if err != nil {
		return err
	}
	defer connection.Close()
	lanes := shoalv1.NewLanesClient(connection)
	version, err := send(ctx, lanes, "/airport/JFK", "departed", flight, sequence)
	if err != nil {
		return err
	}
	fmt.Println("sent:", version)
	late, err := read(ctx, lanes, "/airport/JFK", "late")
	if err != nil {
		return err
	}
	fmt.Printf("late: %s\n", late)
	return watch(ctx, lanes, "/carrier/UA", "from", func(state map[string]int) {
		text, _ := json.Marshal(state)
		fmt.Printf("from: %s\n", text)
	})
}

func main() {
	at, number := "localhost:7777", "1"
	if len(os.Args) > 1 {
		at = os.Args[1]
	}
	if len(os.Args) > 2 {
		number = os.Args[2]
	}
	if err := run(context.Background(), at, number); err != nil {
		log.Fatal(err)
	}
}
