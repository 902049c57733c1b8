// One walk through the API with the client that openapi-generator makes for Go.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"reflect"

	crm "github.com/example/crm"
)

const (
	types   = "crm.customer.created,crm.opportunity.closed"
	unknown = "019c1363-0000-7000-8000-000000000000"
)

func main() {
	log.SetFlags(log.Lshortfile)
	ctx := context.WithValue(context.Background(), crm.ContextAccessToken, os.Getenv("CRM_TOKEN"))
	api := client(os.Getenv("CRM_URL"))

	requestID := newRequestID()
	acme := *crm.NewCustomerCreate("Café 北京 🚀")
	acme.SetContactPhoneNil()
	acme.SetContactEmail("li.lei@example.com")
	customer := must(api.CustomersAPI.CreateCustomer(ctx).XRequestID(requestID).CustomerCreate(acme).Execute())
	same("Café 北京 🚀", customer.Name)
	check(customer.ContactPhone.Get() == nil && *customer.ContactEmail.Get() == "li.lei@example.com", customer)
	id := customer.CustomerId
	liLei := *crm.NewContactCreate(id, "李雷")
	liLei.SetPhone("13812345678")
	liLei.SetEmailNil()
	contact := must(api.ContactsAPI.CreateContact(ctx).XRequestID(newRequestID()).ContactCreate(liLei).Execute())
	check(contact.Name == "李雷" && *contact.Phone.Get() == "13812345678" && contact.Email.Get() == nil, contact)
	opportunity := createOpportunity(ctx, api, id, "Licence", crm.OPPORTUNITY_STAGE_PROPOSAL)
	check(opportunity.Stage == crm.OPPORTUNITY_STAGE_PROPOSAL && opportunity.AmountCents == 1250000, opportunity)
	called := *crm.NewFollowUpCreate("Called:\nwants an offer")
	called.SetOpportunityId(opportunity.OpportunityId)
	followUp := must(api.FollowUpsAPI.CreateFollowUp(ctx).XRequestID(newRequestID()).FollowUpCreate(called).Execute())
	check(*followUp.CustomerId.Get() == id && followUp.ContactId.Get() == nil, followUp)
	fmt.Println("1 created all four")

	_, response, err := api.CustomersAPI.CreateCustomer(ctx).XRequestID(requestID).CustomerCreate(acme).Execute()
	conflict := refusal(response, err, http.StatusConflict)
	check(conflict.Code == crm.ERROR_CODE_IDEMPOTENT_CONFLICT && conflict.Message != "", conflict)
	check(conflict.Resource.Get().Type == "customer" && conflict.Resource.Get().Id == id, conflict)
	fmt.Println("2 a repeated request is 409 with its resource")

	list(ctx, api)
	fmt.Println("3 a lost reply made no second customer; three are listed by two")

	clearing := *crm.NewCustomerUpdate()
	clearing.SetContactEmailNil()
	changed := must(api.CustomersAPI.UpdateCustomer(ctx, id).XRequestID(newRequestID()).CustomerUpdate(clearing).Execute())
	check(changed.ContactEmail.Get() == nil && changed.Name == acme.Name, changed)
	fmt.Println("4 null clears a field, and what is left out stays")

	change(ctx, api, id)
	fmt.Println("5 an old version is 412; read again, it is changed")

	_, response, err = api.CustomersAPI.GetCustomer(ctx, unknown).XRequestID("asked-for").Execute()
	missing := refusal(response, err, http.StatusNotFound)
	check(missing.Code == crm.ERROR_CODE_NOT_FOUND && missing.RequestId == "asked-for", missing)
	check(missing.Message != "" && *missing.Details.Get() != "" && missing.Resource.Get() == nil, missing)
	fmt.Println("6 an unknown id is 404")

	closed := createOpportunity(ctx, api, id, "Won", crm.OPPORTUNITY_STAGE_WON)
	same(crm.OPPORTUNITY_STATUS_WON, closed.Status)
	same(crm.CUSTOMER_STATUS_PROSPECT, customer.Status)
	follow(ctx, api, id)
	same(crm.HEALTH_STATUS_UP, must(api.HealthAPI.GetHealth(ctx).Execute()).Status)
	expectMore(closed)
	fmt.Println("7 enums have names, events their resources, and the service is up")

	gone(api.FollowUpsAPI.DeleteFollowUp(ctx, followUp.FollowUpId).Execute())
	gone(api.OpportunitiesAPI.DeleteOpportunity(ctx, opportunity.OpportunityId).Execute())
	gone(api.ContactsAPI.DeleteContact(ctx, contact.ContactId).Execute())
	gone(api.CustomersAPI.DeleteCustomer(ctx, id).Execute())
	_, response, err = api.FollowUpsAPI.GetFollowUp(ctx, followUp.FollowUpId).Execute()
	refusal(response, err, http.StatusNotFound)
	_, response, err = api.OpportunitiesAPI.GetOpportunity(ctx, opportunity.OpportunityId).Execute()
	refusal(response, err, http.StatusNotFound)
	_, response, err = api.ContactsAPI.GetContact(ctx, contact.ContactId).Execute()
	refusal(response, err, http.StatusNotFound)
	_, response, err = api.CustomersAPI.GetCustomer(ctx, id).Execute()
	refusal(response, err, http.StatusNotFound)
	fmt.Println("8 deleted all four")
}

func list(ctx context.Context, api *crm.APIClient) {
	create := func(api *crm.APIClient, name string) *crm.Customer {
		created, err := sendOnce(
			func(requestID string) (*crm.Customer, *http.Response, error) {
				new := *crm.NewCustomerCreate(name)
				return api.CustomersAPI.CreateCustomer(ctx).XRequestID(requestID).CustomerCreate(new).Execute()
			},
			func(id string) (*crm.Customer, *http.Response, error) {
				return api.CustomersAPI.GetCustomer(ctx, id).Execute()
			},
		)
		check(err == nil, err)
		return created
	}
	same("Second", create(client(os.Getenv("CRM_LOSSY_URL")), "Second").Name)
	create(api, "Third")
	for page, names := range map[int64][]string{1: {"Third", "Second"}, 2: {"Café 北京 🚀"}} {
		listed := must(api.CustomersAPI.ListCustomers(ctx).Page(page).PageSize(2).Execute())
		same(int64(3), listed.GetTotal())
		found := []string{}
		for _, item := range listed.Data {
			found = append(found, item.Name)
		}
		same(names, found)
	}
}

func change(ctx context.Context, api *crm.APIClient, id string) {
	rename := func(name string, tag string) (*crm.Customer, *http.Response, error) {
		named := crm.CustomerUpdate{Name: &name}
		return api.CustomersAPI.UpdateCustomer(ctx, id).XRequestID(newRequestID()).IfMatch(tag).CustomerUpdate(named).Execute()
	}
	before, old, err := api.CustomersAPI.GetCustomer(ctx, id).Execute()
	check(err == nil, err)
	must(rename("Meanwhile", old.Header.Get("ETag")))
	_, response, err := rename("Stale", old.Header.Get("ETag"))
	same(crm.ERROR_CODE_PRECONDITION_FAILED, refusal(response, err, http.StatusPreconditionFailed).Code)
	reads := 0
	renamed, err := changeUnchanged(
		func() (*crm.Customer, *http.Response, error) {
			if reads++; reads == 1 {
				return before, old, nil
			}
			return api.CustomersAPI.GetCustomer(ctx, id).Execute()
		},
		func(current *crm.Customer, tag string) (*crm.Customer, *http.Response, error) {
			return rename("Renamed", tag)
		},
	)
	check(err == nil && reads == 2 && renamed.Name == "Renamed", err, reads)
}

func follow(ctx context.Context, api *crm.APIClient, id string) {
	page := must(api.EventsAPI.ListEvents(ctx).Types(types).Execute())
	events := page.Data
	for len(events) < 4 {
		page = must(api.EventsAPI.ListEvents(ctx).After(page.Cursor).Types(types).Wait(5).Execute())
		check(len(page.Data) > 0, len(events))
		events = append(events, page.Data...)
	}
	check(events[0].Data.Resource["customerId"] == id && events[0].Data.Version == 1, events[0])
	seen := []string{}
	for _, event := range events {
		seen = append(seen, event.EventType)
	}
	created := "crm.customer.created"
	same([]string{created, created, created, "crm.opportunity.closed"}, seen)
}

// What a later minor version may answer: a stage and a field that this client does not know.
func expectMore(known *crm.Opportunity) {
	fields, err := known.ToMap()
	check(err == nil, err)
	fields["stage"], fields["later"] = 7, true
	later, err := json.Marshal(fields)
	check(err == nil, err)
	var read crm.Opportunity
	err = json.Unmarshal(later, &read)
	check(err == nil && read.Stage == crm.OPPORTUNITYSTAGE__unknown_default_open_api && read.Title == known.Title, err, read)
}

func client(url string) *crm.APIClient {
	configuration := crm.NewConfiguration()
	configuration.Servers = crm.ServerConfigurations{{URL: url}}
	return crm.NewAPIClient(configuration)
}

func createOpportunity(ctx context.Context, api *crm.APIClient, customer string, title string, stage crm.OpportunityStage) *crm.Opportunity {
	new := *crm.NewOpportunityCreate(customer, title)
	new.SetAmountCents(1250000)
	new.SetStage(stage)
	return must(api.OpportunitiesAPI.CreateOpportunity(ctx).XRequestID(newRequestID()).OpportunityCreate(new).Execute())
}

// refusal returns the error with this status, as the service described it.
func refusal(response *http.Response, err error, status int) crm.ErrorBody {
	described := errorOf(err)
	check(described != nil && response.StatusCode == status, err, response)
	return *described
}

func gone(response *http.Response, err error) {
	check(err == nil && response.StatusCode == http.StatusNoContent, err, response)
}

func must[T any](value *T, _ *http.Response, err error) *T {
	check(err == nil, err)
	return value
}

func same(expected any, actual any) {
	check(reflect.DeepEqual(expected, actual), expected, actual)
}

func check(holds bool, seen ...any) {
	if !holds {
		_ = log.Output(2, fmt.Sprintf("does not hold: %+v", seen))
		os.Exit(1)
	}
}
