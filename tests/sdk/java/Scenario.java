import com.example.crm.ApiClient;
import com.example.crm.ApiException;
import com.example.crm.ApiResponse;
import com.example.crm.api.ContactsApi;
import com.example.crm.api.ContactsApi.APICreateContactRequest;
import com.example.crm.api.ContactsApi.APIDeleteContactRequest;
import com.example.crm.api.ContactsApi.APIGetContactRequest;
import com.example.crm.api.CustomersApi;
import com.example.crm.api.CustomersApi.APICreateCustomerRequest;
import com.example.crm.api.CustomersApi.APIDeleteCustomerRequest;
import com.example.crm.api.CustomersApi.APIGetCustomerRequest;
import com.example.crm.api.CustomersApi.APIListCustomersRequest;
import com.example.crm.api.CustomersApi.APIUpdateCustomerRequest;
import com.example.crm.api.EventsApi;
import com.example.crm.api.EventsApi.APIListEventsRequest;
import com.example.crm.api.FollowUpsApi;
import com.example.crm.api.FollowUpsApi.APICreateFollowUpRequest;
import com.example.crm.api.FollowUpsApi.APIDeleteFollowUpRequest;
import com.example.crm.api.FollowUpsApi.APIGetFollowUpRequest;
import com.example.crm.api.HealthApi;
import com.example.crm.api.HealthApi.APIGetHealthRequest;
import com.example.crm.api.OpportunitiesApi;
import com.example.crm.api.OpportunitiesApi.APICreateOpportunityRequest;
import com.example.crm.api.OpportunitiesApi.APIDeleteOpportunityRequest;
import com.example.crm.api.OpportunitiesApi.APIGetOpportunityRequest;
import com.example.crm.model.Contact;
import com.example.crm.model.ContactCreate;
import com.example.crm.model.Customer;
import com.example.crm.model.CustomerCreate;
import com.example.crm.model.CustomerList;
import com.example.crm.model.CustomerStatus;
import com.example.crm.model.CustomerUpdate;
import com.example.crm.model.ErrorBody;
import com.example.crm.model.ErrorCode;
import com.example.crm.model.Event;
import com.example.crm.model.EventList;
import com.example.crm.model.FollowUp;
import com.example.crm.model.FollowUpCreate;
import com.example.crm.model.HealthStatus;
import com.example.crm.model.Opportunity;
import com.example.crm.model.OpportunityCreate;
import com.example.crm.model.OpportunityStage;
import com.example.crm.model.OpportunityStatus;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.UUID;
import java.util.stream.Collectors;

/** One walk through the API with the client that openapi-generator makes for Java. */
final class Scenario {
    private static final String TYPES = "crm.customer.created,crm.opportunity.closed";
    private static final UUID UNKNOWN = UUID.fromString("019c1363-0000-7000-8000-000000000000");

    private final ApiClient api = client(System.getenv("CRM_URL"));
    private final CustomersApi customers = new CustomersApi(api);
    private final ContactsApi contacts = new ContactsApi(api);
    private final OpportunitiesApi opportunities = new OpportunitiesApi(api);
    private final FollowUpsApi followUps = new FollowUpsApi(api);

    public static void main(String[] arguments) throws Exception {
        new Scenario().walk();
    }

    private void walk() throws Exception {
        String key = newRequestId();
        CustomerCreate acme = new CustomerCreate().name("Café 北京 🚀").contactPhone(null).contactEmail("li.lei@example.com");
        Customer customer = create(customers, key, acme);
        same(Arrays.asList("Café 北京 🚀", null, "li.lei@example.com"),
                Arrays.asList(customer.getName(), customer.getContactPhone(), customer.getContactEmail()));
        UUID id = customer.getCustomerId();
        ContactCreate liLei = new ContactCreate().customerId(id).name("李雷").phone("13812345678").email(null);
        Contact contact = contacts.createContact(
                APICreateContactRequest.newBuilder().xRequestID(newRequestId()).contactCreate(liLei).build());
        same(Arrays.asList("李雷", "13812345678", null), Arrays.asList(contact.getName(), contact.getPhone(), contact.getEmail()));
        Opportunity opportunity = createOpportunity(id, "Licence", OpportunityStage.OPPORTUNITY_STAGE_PROPOSAL);
        same(OpportunityStage.OPPORTUNITY_STAGE_PROPOSAL, opportunity.getStage());
        same(1250000L, opportunity.getAmountCents());
        FollowUpCreate called =
                new FollowUpCreate().opportunityId(opportunity.getOpportunityId()).content("Called:\nwants an offer");
        FollowUp followUp = followUps.createFollowUp(
                APICreateFollowUpRequest.newBuilder().xRequestID(newRequestId()).followUpCreate(called).build());
        same(Arrays.asList(id, null), Arrays.asList(followUp.getCustomerId(), followUp.getContactId()));
        System.out.println("1 created all four");

        ErrorBody conflict = refusal(() -> create(customers, key, acme), 409);
        same(ErrorCode.ERROR_CODE_IDEMPOTENT_CONFLICT, conflict.getCode());
        same("customer", conflict.getResource().getType());
        same(id, conflict.getResource().getId());
        System.out.println("2 a repeated request is 409 with its resource");

        list();
        System.out.println("3 a lost reply made no second customer; three are listed by two");

        Customer changed = update(id, new CustomerUpdate().contactEmail(null), null);
        same(null, changed.getContactEmail());
        same(acme.getName(), changed.getName());
        System.out.println("4 null clears a field, and what is left out stays");

        change(id);
        System.out.println("5 an old version is 412; read again, it is changed");

        ErrorBody missing = refusal(() -> customers.getCustomer(
                APIGetCustomerRequest.newBuilder().customerId(UNKNOWN).xRequestID("asked-for").build()), 404);
        same(ErrorCode.ERROR_CODE_NOT_FOUND, missing.getCode());
        same("asked-for", missing.getRequestId());
        check(!missing.getMessage().isEmpty() && !missing.getDetails().isEmpty() && missing.getResource() == null, missing);
        System.out.println("6 an unknown id is 404");

        Opportunity closed = createOpportunity(id, "Won", OpportunityStage.OPPORTUNITY_STAGE_WON);
        same(OpportunityStatus.OPPORTUNITY_STATUS_WON, closed.getStatus());
        same(CustomerStatus.CUSTOMER_STATUS_PROSPECT, customer.getStatus());
        follow(id);
        same(HealthStatus.HEALTH_STATUS_UP, new HealthApi(api).getHealth(APIGetHealthRequest.newBuilder().build()).getStatus());
        expectMore(closed);
        System.out.println("7 enums have names, events their resources, and the service is up");

        followUps.deleteFollowUp(APIDeleteFollowUpRequest.newBuilder().followUpId(followUp.getFollowUpId()).build());
        opportunities.deleteOpportunity(
                APIDeleteOpportunityRequest.newBuilder().opportunityId(opportunity.getOpportunityId()).build());
        contacts.deleteContact(APIDeleteContactRequest.newBuilder().contactId(contact.getContactId()).build());
        APIDeleteCustomerRequest last = APIDeleteCustomerRequest.newBuilder().customerId(id).build();
        same(204, customers.deleteCustomerWithHttpInfo(last).getStatusCode());
        refusal(() -> followUps.getFollowUp(
                APIGetFollowUpRequest.newBuilder().followUpId(followUp.getFollowUpId()).build()), 404);
        refusal(() -> opportunities.getOpportunity(
                APIGetOpportunityRequest.newBuilder().opportunityId(opportunity.getOpportunityId()).build()), 404);
        refusal(() -> contacts.getContact(APIGetContactRequest.newBuilder().contactId(contact.getContactId()).build()), 404);
        refusal(() -> get(customers, id), 404);
        System.out.println("8 deleted all four");
    }

    private void list() throws Exception {
        CustomersApi fragile = new CustomersApi(client(System.getenv("CRM_LOSSY_URL")));
        Customer second = Recipe.sendOnce(
                key -> create(fragile, key, new CustomerCreate().name("Second")), made -> get(fragile, made));
        same("Second", second.getName());
        Recipe.sendOnce(key -> create(customers, key, new CustomerCreate().name("Third")), made -> get(customers, made));
        same(List.of("Third", "Second"), names(1));
        same(List.of("Café 北京 🚀"), names(2));
    }

    private List<String> names(long page) throws ApiException {
        CustomerList listed =
                customers.listCustomers(APIListCustomersRequest.newBuilder().page(page).pageSize(2).build());
        same(3L, listed.getTotal());
        return listed.getData().stream().map(Customer::getName).collect(Collectors.toList());
    }

    private void change(UUID id) throws ApiException {
        APIGetCustomerRequest asked = APIGetCustomerRequest.newBuilder().customerId(id).build();
        ApiResponse<Customer> before = customers.getCustomerWithHttpInfo(asked);
        String old = Recipe.entityTag(before);
        update(id, new CustomerUpdate().name("Meanwhile"), old);
        ErrorBody stale = refusal(() -> update(id, new CustomerUpdate().name("Stale"), old), 412);
        same(ErrorCode.ERROR_CODE_PRECONDITION_FAILED, stale.getCode());
        Deque<ApiResponse<Customer>> reads = new ArrayDeque<>(List.of(before));
        Customer renamed = Recipe.changeUnchanged(
                () -> reads.isEmpty() ? customers.getCustomerWithHttpInfo(asked) : reads.pop(),
                (current, tag) -> update(id, new CustomerUpdate().name("Renamed"), tag));
        same("Renamed", renamed.getName());
    }

    private void follow(UUID id) throws ApiException {
        EventsApi feed = new EventsApi(api);
        EventList page = feed.listEvents(APIListEventsRequest.newBuilder().types(TYPES).build());
        List<Event> events = new ArrayList<>(page.getData());
        while (events.size() < 4) {
            page = feed.listEvents(APIListEventsRequest.newBuilder().after(page.getCursor()).types(TYPES).waitSeconds(5).build());
            check(!page.getData().isEmpty(), events);
            events.addAll(page.getData());
        }
        same(id.toString(), ((Map<?, ?>) events.get(0).getData().getResource()).get("customerId"));
        same(1L, events.get(0).getData().getVersion());
        String created = "crm.customer.created";
        same(List.of(created, created, created, "crm.opportunity.closed"),
                events.stream().map(Event::getEventType).collect(Collectors.toList()));
    }

    /** What a later minor version may answer: a stage and a field that this client does not know. */
    private static void expectMore(Opportunity known) throws Exception {
        ObjectMapper mapper = ApiClient.createDefaultObjectMapper();
        ObjectNode later = mapper.valueToTree(known);
        Opportunity read = mapper.treeToValue(later.put("stage", 7).put("later", true), Opportunity.class);
        same(OpportunityStage.NUMBER_unknown_default_open_api, read.getStage());
        same(known.getTitle(), read.getTitle());
    }

    private static ApiClient client(String url) {
        ApiClient client = new ApiClient();
        client.updateBaseUri(url);
        String authorization = "Bearer " + System.getenv("CRM_TOKEN");
        return client.setRequestInterceptor(request -> request.header("Authorization", authorization));
    }

    private static Customer create(CustomersApi api, String key, CustomerCreate customer) throws ApiException {
        return api.createCustomer(APICreateCustomerRequest.newBuilder().xRequestID(key).customerCreate(customer).build());
    }

    private static Customer get(CustomersApi api, UUID id) throws ApiException {
        return api.getCustomer(APIGetCustomerRequest.newBuilder().customerId(id).build());
    }

    private Customer update(UUID id, CustomerUpdate change, String tag) throws ApiException {
        return customers.updateCustomer(APIUpdateCustomerRequest.newBuilder()
                .customerId(id).xRequestID(newRequestId()).customerUpdate(change).ifMatch(tag).build());
    }

    private Opportunity createOpportunity(UUID customer, String title, OpportunityStage stage) throws ApiException {
        OpportunityCreate wanted =
                new OpportunityCreate().customerId(customer).title(title).amountCents(1250000L).stage(stage);
        return opportunities.createOpportunity(
                APICreateOpportunityRequest.newBuilder().xRequestID(newRequestId()).opportunityCreate(wanted).build());
    }

    private static String newRequestId() {
        return UUID.randomUUID().toString();
    }

    private interface Step {
        Object run() throws ApiException;
    }

    private static ErrorBody refusal(Step step, int status) {
        try {
            step.run();
        } catch (ApiException refused) {
            same(status, refused.getCode());
            return Recipe.errorOf(refused).orElseThrow();
        }
        throw new AssertionError("no " + status);
    }

    private static void same(Object expected, Object actual) {
        check(Objects.equals(expected, actual), expected + " is not " + actual);
    }

    private static void check(boolean holds, Object seen) {
        if (!holds) {
            throw new AssertionError(seen);
        }
    }
}
