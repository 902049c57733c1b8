import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.DeserializationContext;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonDeserializer;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.module.SimpleModule;
import crm.events.CrmEvent;
import crm.events.CustomerCreated;
import crm.events.OpportunityClosed;
import crm.events.OpportunityStage;
import java.io.File;
import java.io.IOException;
import java.time.OffsetDateTime;

/** Reads events of the feed with the types of the events. */
public final class Check {
  public static void main(String[] arguments) throws IOException {
    // Whoever has jackson-datatype-jsr310 registers that.
    SimpleModule times = new SimpleModule();
    times.addDeserializer(OffsetDateTime.class, new JsonDeserializer<OffsetDateTime>() {
      @Override
      public OffsetDateTime deserialize(JsonParser parser, DeserializationContext context) throws IOException {
        return OffsetDateTime.parse(parser.getText());
      }
    });
    // Events may get more fields.
    ObjectMapper mapper = new ObjectMapper().registerModule(times).disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES);
    CrmEvent[] events = mapper.readValue(new File(arguments[0]), CrmEvent[].class);
    CustomerCreated created = (CustomerCreated) events[0];
    check(created.getData().getResource().getName().equals("Café 北京"), "the name");
    check(created.getData().getResource().getContactPhone() == null && created.getData().getVersion() == 1, "the version");
    OpportunityClosed closed = (OpportunityClosed) events[4];
    check(closed.getData().getResource().getStage() == OpportunityStage.WON, "the stage");
    check(closed.getData().getResource().getAmountCents() == 3_000_000_000L, "the amount");
    check(closed.getTimestamp().getOffset().getTotalSeconds() == 0, "the time");
    System.out.println("Java: " + events.length + " events of the feed are as their types say");
  }

  private static void check(boolean holds, String what) {
    if (!holds) throw new AssertionError(what + " is not as it was sent");
  }
}
