// Prints every diagnosis of a namespace that is kept, then each new one: protobuf, signature verified.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"example.com/subscriber/bus"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

const (
	stream = "EXTERNAL_DIAGNOSED"
	// When to look again at what is not signed: it may be that only the new key is not here yet.
	later = 10 * time.Minute
)

func main() {
	if err := replay(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func replay(ctx context.Context) error {
	trusted, err := bus.ReadTrusted("svc-llm")
	if err != nil {
		return err
	}
	diagnosed, err := messageType("bonesetter.v1.Diagnosed")
	if err != nil {
		return err
	}
	nc, err := bus.Connect()
	if err != nil {
		return err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	// It goes on behind what was acknowledged.
	consumer, err := js.Consumer(ctx, stream, bus.Consumer)
	if err != nil {
		return err
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(10))
	if err != nil {
		return err
	}
	for {
		message, err := messages.Next()
		if err != nil {
			return err
		}
		if !trusted.HasSigned(message.Subject(), message.Data(), message.Headers()) {
			log.Printf("not signed by svc-llm: %s", message.Subject())
			if err := message.NakWithDelay(later); err != nil {
				return err
			}
			continue
		}
		body := dynamicpb.NewMessage(diagnosed)
		if err := proto.Unmarshal(message.Data(), body); err != nil {
			return fmt.Errorf("%s: %w", message.Subject(), err)
		}
		fmt.Printf("%s %s/%s/%s %s\n", text(body, "incident.id"),
			text(body, "incident.root_owner.namespace"), text(body, "incident.root_owner.kind"),
			text(body, "incident.root_owner.name"), text(body, "diagnosis.summary"))
		// Only now: what is not acknowledged comes again.
		if err := message.DoubleAck(ctx); err != nil {
			return err
		}
	}
}

// A message type out of descriptor.bin; generated code (protoc, buf) does as well.
func messageType(name protoreflect.FullName) (protoreflect.MessageDescriptor, error) {
	descriptors, err := os.ReadFile(os.Getenv("BONESETTER_DESCRIPTORS"))
	if err != nil {
		return nil, err
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(descriptors, &set); err != nil {
		return nil, err
	}
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		return nil, err
	}
	found, err := files.FindDescriptorByName(name)
	if err != nil {
		return nil, err
	}
	return found.(protoreflect.MessageDescriptor), nil
}

// The text at a path of field names.
func text(message protoreflect.Message, path string) string {
	name, rest, isNested := strings.Cut(path, ".")
	value := message.Get(message.Descriptor().Fields().ByName(protoreflect.Name(name)))
	if isNested {
		return text(value.Message(), rest)
	}
	return value.String()
}
