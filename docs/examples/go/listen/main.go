// Prints each diagnosis of a namespace when it is made: core NATS, JSON, nothing is kept for you.
package main

import (
	"encoding/json"
	"fmt"
	"log"

	"example.com/subscriber/bus"
	"github.com/nats-io/nats.go"
)

// Of a CloudEvent with a diagnosis, what is printed here.
type event struct {
	Subject string
	Data    struct {
		Incident  struct{ ID string }
		Diagnosis struct{ Summary string }
	}
}

func main() {
	nc, err := bus.Connect()
	if err != nil {
		log.Fatal(err)
	}
	messages := make(chan *nats.Msg, 64)
	_, err = nc.ChanSubscribe("bonesetter.v1.diagnosed-json.*."+bus.Namespace+".>", messages)
	if err != nil {
		log.Fatal(err)
	}
	for message := range messages {
		var event event
		if err := json.Unmarshal(message.Data, &event); err != nil {
			log.Printf("%s: %v", message.Subject, err)
			continue
		}
		fmt.Println(event.Data.Incident.ID, event.Subject, event.Data.Diagnosis.Summary)
	}
}
