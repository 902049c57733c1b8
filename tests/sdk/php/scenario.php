<?php

declare(strict_types=1);

/* One walk through the API with the client that openapi-generator makes for PHP. */

require __DIR__ . '/bootstrap.php';
require __DIR__ . '/recipe.php';

use Crm\Client\Api\ContactsApi;
use Crm\Client\Api\CustomersApi;
use Crm\Client\Api\EventsApi;
use Crm\Client\Api\FollowUpsApi;
use Crm\Client\Api\HealthApi;
use Crm\Client\Api\OpportunitiesApi;
use Crm\Client\ApiException;
use Crm\Client\Configuration;
use Crm\Client\Model\ContactCreate;
use Crm\Client\Model\Customer;
use Crm\Client\Model\CustomerCreate;
use Crm\Client\Model\CustomerList;
use Crm\Client\Model\CustomerStatus;
use Crm\Client\Model\CustomerUpdate;
use Crm\Client\Model\ErrorBody;
use Crm\Client\Model\ErrorCode;
use Crm\Client\Model\FollowUpCreate;
use Crm\Client\Model\HealthStatus;
use Crm\Client\Model\Opportunity;
use Crm\Client\Model\OpportunityCreate;
use Crm\Client\Model\OpportunityStage;
use Crm\Client\Model\OpportunityStatus;
use Crm\Client\ObjectSerializer;

const TYPES = 'crm.customer.created,crm.opportunity.closed';
const UNKNOWN = '019c1363-0000-7000-8000-000000000000';

function check(bool $holds, mixed ...$seen): void
{
    if (!$holds) {
        throw new LogicException('does not hold: ' . json_encode($seen, JSON_UNESCAPED_UNICODE));
    }
}

function same(mixed $expected, mixed $actual): void
{
    check($expected === $actual, $expected, $actual);
}

function refusal(callable $call, int $status): ErrorBody
{
    try {
        $call();
    } catch (ApiException $refused) {
        same($status, $refused->getCode());
        $error = errorOf($refused);
        check($error !== null, $refused->getMessage());
        return $error;
    }
    throw new LogicException("no $status");
}

function newRequestId(): string
{
    return bin2hex(random_bytes(16));
}

function configuration(string $url): Configuration
{
    return (new Configuration())->setHost($url)->setAccessToken(getenv('CRM_TOKEN'));
}

// Else they are sent as 1 and 0.
Configuration::getDefaultConfiguration()->setBooleanFormatForQueryString(Configuration::BOOLEAN_FORMAT_STRING);
$configuration = configuration(getenv('CRM_URL'));
$customers = new CustomersApi(null, $configuration);
$contacts = new ContactsApi(null, $configuration);
$opportunities = new OpportunitiesApi(null, $configuration);
$followUps = new FollowUpsApi(null, $configuration);

$key = newRequestId();
$acme = new CustomerCreate(['name' => 'Café 北京 🚀', 'contactPhone' => null, 'contactEmail' => 'li.lei@example.com']);
$customer = $customers->createCustomer($key, $acme);
check($customer instanceof Customer);
same(['Café 北京 🚀', null, 'li.lei@example.com'], [$customer->getName(), $customer->getContactPhone(), $customer->getContactEmail()]);
$id = $customer->getCustomerId();
$liLei = (new ContactCreate())->setCustomerId($id)->setName('李雷')->setPhone('13812345678')->setEmail(null);
$contact = $contacts->createContact(newRequestId(), $liLei);
same(['李雷', '13812345678', null], [$contact->getName(), $contact->getPhone(), $contact->getEmail()]);
$licence = (new OpportunityCreate())->setCustomerId($id)->setTitle('Licence')->setAmountCents(1250000)
    ->setStage(OpportunityStage::OPPORTUNITY_STAGE_PROPOSAL);
$opportunity = $opportunities->createOpportunity(newRequestId(), $licence);
same([OpportunityStage::OPPORTUNITY_STAGE_PROPOSAL, 1250000], [$opportunity->getStage(), $opportunity->getAmountCents()]);
$called = (new FollowUpCreate())->setOpportunityId($opportunity->getOpportunityId())->setContent("Called:\nwants an offer");
$followUp = $followUps->createFollowUp(newRequestId(), $called);
same([$id, null], [$followUp->getCustomerId(), $followUp->getContactId()]);
echo "1 created all four\n";

$conflict = refusal(fn () => $customers->createCustomer($key, $acme), 409);
same(ErrorCode::ERROR_CODE_IDEMPOTENT_CONFLICT, $conflict->getCode());
same(['customer', $id], [$conflict->getResource()->getType(), $conflict->getResource()->getId()]);
echo "2 a repeated request is 409 with its resource\n";

$fragile = new CustomersApi(null, configuration(getenv('CRM_LOSSY_URL')));
$named = fn (string $name) => (new CustomerCreate())->setName($name);
$second = sendOnce(fn (string $key) => $fragile->createCustomer($key, $named('Second')), $fragile->getCustomer(...));
same('Second', $second->getName());
$third = sendOnce(fn (string $key) => $customers->createCustomer($key, $named('Third')), $customers->getCustomer(...));
$names = fn (CustomerList $page) => array_map(fn (Customer $item) => $item->getName(), $page->getData());
$page = $customers->listCustomers(page: 1, pageSize: 2);
same([3, ['Third', 'Second']], [$page->getTotal(), $names($page)]);
$last = $customers->listCustomers(page: 2, pageSize: 2);
same([3, [$acme->getName()]], [$last->getTotal(), $names($last)]);
$uncounted = $customers->listCustomers(pageSize: 2, total: false);
$rest = $customers->listCustomers(hasOpenOpportunities: true, total: true);
same([null, 1], [$uncounted->getTotal(), $rest->getTotal()]);
$rest = $customers->listCustomers(pageSize: 2, after: $uncounted->getNextCursor());
same([[$acme->getName()], null], [$names($rest), $rest->getNextCursor()]);
echo "3 a lost reply made no second customer; three are listed by two\n";

$changed = $customers->updateCustomer($id, newRequestId(), (new CustomerUpdate())->setContactEmail(null));
same([null, $acme->getName()], [$changed->getContactEmail(), $changed->getName()]);
echo "4 null clears a field, and what is left out stays\n";

$rename = fn (string $name, string $tag) =>
    $customers->updateCustomer($id, newRequestId(), (new CustomerUpdate())->setName($name), ifMatch: $tag);
$read = fn () => $customers->getCustomerWithHttpInfo($id);
$before = $read();
$rename('Meanwhile', entityTag($before[2]));
$stale = refusal(fn () => $rename('Stale', entityTag($before[2])), 412);
same(ErrorCode::ERROR_CODE_PRECONDITION_FAILED, $stale->getCode());
$reads = [$before];
$renamed = changeUnchanged(
    function () use (&$reads, $read): array {
        return array_pop($reads) ?? $read();
    },
    fn (Customer $current, string $tag) => $rename('Renamed', $tag),
);
same('Renamed', $renamed->getName());
echo "5 an old version is 412; read again, it is changed\n";

$missing = refusal(fn () => $customers->getCustomer(UNKNOWN, xRequestID: 'asked-for'), 404);
same([ErrorCode::ERROR_CODE_NOT_FOUND, 'asked-for', null], [$missing->getCode(), $missing->getRequestId(), $missing->getResource()]);
check($missing->getMessage() !== '' && is_string($missing->getDetails()) && $missing->getDetails() !== '');
echo "6 an unknown id is 404\n";

$won = (new OpportunityCreate())->setCustomerId($id)->setTitle('Won')->setStage(OpportunityStage::OPPORTUNITY_STAGE_WON);
$closed = $opportunities->createOpportunity(newRequestId(), $won);
same(OpportunityStatus::OPPORTUNITY_STATUS_WON, $closed->getStatus());
same(CustomerStatus::CUSTOMER_STATUS_PROSPECT, $customer->getStatus());
$feed = new EventsApi(null, $configuration);
$page = $feed->listEvents(types: TYPES);
$events = $page->getData();
while (count($events) < 4) {
    $page = $feed->listEvents(after: $page->getCursor(), types: TYPES, wait: 5);
    check($page->getData() !== []);
    $events = [...$events, ...$page->getData()];
}
same([$id, 1], [((array) $events[0]->getData()->getResource())['customerId'], $events[0]->getData()->getVersion()]);
$types = array_map(fn ($event) => $event->getEventType(), $events);
same([...array_fill(0, 3, 'crm.customer.created'), 'crm.opportunity.closed'], $types);
same(HealthStatus::HEALTH_STATUS_UP, (new HealthApi(null, $configuration))->getHealth()->getStatus());
// What a later minor version may answer: a stage and a field that this client does not know.
$later = ['stage' => 7, 'later' => true] + (array) ObjectSerializer::sanitizeForSerialization($closed);
$later = ObjectSerializer::deserialize(json_decode(json_encode($later)), Opportunity::class);
same([OpportunityStage::UNKNOWN_DEFAULT_OPEN_API, 'Won'], [$later->getStage(), $later->getTitle()]);
echo "7 enums have names, events their resources, and the service is up\n";

$followUps->deleteFollowUp($followUp->getFollowUpId());
$opportunities->deleteOpportunity($opportunity->getOpportunityId());
$contacts->deleteContact($contact->getContactId());
same(204, $customers->deleteCustomerWithHttpInfo($id)[1]);
refusal(fn () => $followUps->getFollowUp($followUp->getFollowUpId()), 404);
refusal(fn () => $opportunities->getOpportunity($opportunity->getOpportunityId()), 404);
refusal(fn () => $contacts->getContact($contact->getContactId()), 404);
refusal(fn () => $customers->getCustomer($id), 404);
echo "8 deleted all four\n";
